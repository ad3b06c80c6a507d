import json

import pytest
from jobs import let_another_hold

from efdet_jax import lease, main
from efdet_jax.sweep import attempt


@pytest.fixture
def job(monkeypatch):
    """Makes the main job do as told; returns the command lines that it was given."""
    given = []

    def tell(does):
        def run(argv):
            given.append(argv)
            return does()

        monkeypatch.setattr(main, "main", run)
        return given

    return tell


def fail():
    raise RuntimeError("nobody thought of this")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42])
def test_the_exit_code_is_the_job_s_and_is_written_down(code, job, tmp_path):
    given = job(lambda: code)
    assert attempt.main(tmp_path, ["--config=a.py"]) == code
    assert attempt.read(tmp_path)["exit_code"] == code
    assert given == [["efdet_jax.main", "--config=a.py", f"--workdir={tmp_path}"]]
    assert lease.holder(tmp_path) is None


def test_an_error_nobody_foresaw_is_no_divergence(job, tmp_path, capsys):
    job(fail)
    assert attempt.main(tmp_path, []) == attempt.CRASHED
    assert attempt.read(tmp_path)["exit_code"] == attempt.CRASHED
    assert "nobody thought of this" in capsys.readouterr().err


def test_while_it_runs_no_end_is_written_down_and_the_folder_is_held(job, tmp_path):
    seen = []
    job(lambda: seen.append((attempt.read(tmp_path), lease.holder(tmp_path))) or 0)
    attempt.main(tmp_path, [])
    ((record, holder),) = seen
    assert record["exit_code"] is None
    assert holder is not None


def test_attempts_without_a_new_checkpoint_are_fruitless(job, tmp_path):
    def fruitless_after(checkpoint):
        if checkpoint:
            (tmp_path / f"checkpoints/{checkpoint}").mkdir(parents=True)
        attempt.main(tmp_path, [])
        return attempt.read(tmp_path)["fruitless"]

    job(fail)
    assert [fruitless_after(step) for step in (0, 0, 20, 0, 0, 40)] == [
        1,
        2,
        1,
        2,
        3,
        1,
    ]
    assert attempt.read(tmp_path)["attempts"] == 6


def test_a_folder_that_somebody_works_in_is_left_alone(job, tmp_path, capsys):
    given = job(lambda: 0)
    before = {"attempts": 1, "exit_code": None, "step": 0, "fruitless": 1}
    (tmp_path / "attempt.json").write_text(json.dumps(before))
    owner = let_another_hold(tmp_path)
    assert attempt.main(tmp_path, []) == attempt.BUSY
    assert not given
    assert attempt.read(tmp_path) == before
    assert f"is being worked in by process {owner}" in capsys.readouterr().err
