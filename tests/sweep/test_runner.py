"""Which trials are started, how often, and when it is over; the engine is a script."""

import json

import pytest

from efdet_jax.errors import UsageError
from efdet_jax.sweep import attempt, runner, standing
from efdet_jax.sweep.trials import Trial

KILLED = None


def run(workdir, trials, launcher, when_one_ends=lambda: None):
    return runner.run(workdir, trials, launcher, when_one_ends=when_one_ends)


def trial(name):
    return Trial(name, "tests/tiny.py", {}, "tiny", name)


class Script:
    """A launcher whose jobs end at once as a script says, and remember how often."""

    def __init__(self, codes, slots):
        self.codes = {name: list(codes) for name, codes in codes.items()}
        self.slots = slots
        self.started = []
        self.most_at_once = 0
        self._now = set()
        self.is_stopped = False

    def start(self, job):
        self.started.append(job.name)
        self._now.add(job.name)
        self.most_at_once = max(self.most_at_once, len(self._now))
        before = attempt.read(job.folder)
        codes = self.codes[job.name]
        record = {
            "attempts": before["attempts"] + 1,
            "exit_code": codes.pop(0) if len(codes) > 1 else codes[0],
            "step": 0,
            "fruitless": before["fruitless"] + 1,
        }
        (job.folder / "attempt.json").write_text(json.dumps(record))

    def alive(self):
        ended, self._now = self._now, set()
        return set() if self.slots == float("inf") else ended

    def stop(self):
        self.is_stopped = True


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch):
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_LOOKS", 0.0)


@pytest.mark.parametrize("slots", [1, 2, float("inf")])
def test_all_trials_come_to_their_ends(slots, tmp_path):
    script = Script(
        {
            "well": [0],
            "preempted": [42, 42, 0],
            "dying": [KILLED],
            "diverging": [1],
            "too large": [3],
        },
        slots,
    )
    standings = run(tmp_path, [trial(name) for name in script.codes], script)
    assert {name: s.state for name, s in standings.items()} == {
        "well": "finished",
        "preempted": "finished",
        "dying": "failed",
        "diverging": "diverged",
        "too large": "out_of_memory",
    }
    assert script.started.count("preempted") == 3
    assert script.started.count("dying") == standing.MOST_FRUITLESS
    assert script.most_at_once <= slots


def test_again_it_tries_what_was_given_up_and_nothing_else(tmp_path):
    trials = [trial(name) for name in ("well", "dying", "refused", "diverging")]
    first = Script(
        {"well": [0], "dying": [KILLED], "refused": [2], "diverging": [1]}, 1
    )
    run(tmp_path, trials, first)
    second = Script({"dying": [0], "refused": [0]}, 1)
    standings = run(tmp_path, trials, second)
    assert sorted(second.started) == ["dying", "refused"]
    assert standings["refused"].state == "finished"


def test_trials_may_be_added_but_not_changed(tmp_path):
    runner.enter(tmp_path, [trial("a")])
    runner.enter(tmp_path, [trial("b")])
    names = [
        t["name"] for t in json.loads((tmp_path / "sweep.json").read_text())["trials"]
    ]
    assert names == ["a", "b"]
    changed = trial("a")._replace(overrides={"image_size": (128, 128)})
    with pytest.raises(UsageError, match="belongs to another sweep: its trial a has"):
        runner.enter(tmp_path, [changed])
    assert "128" not in (tmp_path / "sweep.json").read_text()


def test_what_is_written_down_as_a_tuple_is_the_same_the_next_time(tmp_path):
    wide = trial("a")._replace(overrides={"image_size": (128, 128)})
    runner.enter(tmp_path, [wide])
    runner.enter(tmp_path, [wide])


def test_the_engine_s_refusal_ends_the_sweep_in_one_line(tmp_path):
    class Refusing(Script):
        def start(self, job):
            raise UsageError(f"job {job.name}: no such partition")

    with pytest.raises(UsageError, match="job a: no such partition"):
        run(tmp_path, [trial("a")], Refusing({"a": [0]}, 1))


def test_who_draws_is_called_as_trials_end(tmp_path):
    seen = []
    names = ("a", "b", "c")
    run(
        tmp_path,
        [trial(name) for name in names],
        Script({name: [0] for name in names}, 1),
        when_one_ends=lambda: seen.append(len(list(tmp_path.glob("*/attempt.json")))),
    )
    assert seen == [1, 2, 3]
