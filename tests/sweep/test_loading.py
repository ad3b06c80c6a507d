import pathlib

import pytest

from efdet_jax.errors import UsageError
from efdet_jax.sweep.loading import load_trials, main_arguments, trial_config
from efdet_jax.sweep.trials import Trial, over_seeds

ROOT = pathlib.Path(__file__).parents[2]


def trial(**changes):
    blank = Trial("a", str(ROOT / "tests/tiny.py"), {}, "tiny", "a")
    return blank._replace(**changes)


def written(tmp_path, *trials, signature=""):
    """A sweep's file that returns these trials."""
    path = tmp_path / "sweep.py"
    path.write_text(
        "from efdet_jax.sweep.trials import Resources, Trial\n"
        f"def get_trials({signature}):\n    return {list(trials)!r}\n"
    )
    return str(path)


def test_overrides_reach_the_config_and_the_command_line():
    changed = trial(overrides={"image_size": (128, 128), "optimizer.name": "sgd"})
    config = trial_config(changed)
    assert config.image_size == (128, 128)
    assert config.optimizer.name == "sgd"
    assert main_arguments(changed)[1:] == (
        "--config.image_size=(128, 128)",
        "--config.optimizer.name=sgd",
    )


def test_every_seed_is_a_trial_of_the_same_point_and_first_seeds_come_first():
    trials = over_seeds([trial(name="a"), trial(name="b", point="b")], (3, 5))
    assert [t.name for t in trials] == ["a-seed3", "b-seed3", "a-seed5", "b-seed5"]
    assert [t.overrides["seed"] for t in trials] == [3, 3, 5, 5]
    assert [t.point for t in trials] == ["a", "b"] * 2


MISTAKES = {
    "two of one name": ([trial(), trial()], "2 trials are named 'a'"),
    "a name that is no folder": ([trial(name="a/b")], "'a/b' cannot name a trial"),
    "a name that is taken": ([trial(name="report")], "'report' cannot name a trial"),
    "no trials": ([], "has no trials"),
    "a key that does not exist": (
        [trial(overrides={"model.nek.width": 8})],
        "trial a: there is no key config.model.nek.width",
    ),
    "a value of another type": (
        [trial(overrides={"steps": "many"})],
        "trial a: config.steps='many' is not of the key's type",
    ),
    "a value that cannot be": (
        [trial(overrides={"loss.alpha": 2.0})],
        "trial a: config.loss.alpha=2.0 is out of range",
    ),
    "a config that does not exist": (
        [trial(config="experiments/d33.py")],
        "there is no file experiments/d33.py",
    ),
    "a config without its argument": (
        [trial(config=str(ROOT / "experiments/phi.py"))],
        "needs an argument",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_sweep_that_cannot_run_is_refused_before_it_starts(name, tmp_path):
    trials, words = MISTAKES[name]
    with pytest.raises(UsageError) as caught:
        load_trials(written(tmp_path, *trials))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_sweep_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"tiny.py has no get_trials\(\)"):
        load_trials(str(ROOT / "tests/tiny.py"))
    with pytest.raises(UsageError, match="takes no argument"):
        load_trials(written(tmp_path, trial()) + ":3")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments/sweeps").glob("*.py")), ids=lambda p: p.stem
)
def test_every_sweep_of_ours_can_run(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    trials = load_trials(str(path))
    assert f"experiments/sweeps/{path.name}" in path.read_text()
    assert len({(t.family, t.point, t.overrides.get("seed")) for t in trials}) == len(
        trials
    )
