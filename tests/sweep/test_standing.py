import json
import math

import pytest

from efdet_jax import lease
from efdet_jax.sweep import attempt, standing


def attempted(folder, **record):
    blank = {"attempts": 1, "exit_code": None, "step": 0, "fruitless": 1}
    (folder / "attempt.json").write_text(json.dumps(blank | record))


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({"attempts": 0}, "waiting"),
        ({"exit_code": 0}, "finished"),
        ({"exit_code": 1}, "diverged"),
        ({"exit_code": 2}, "refused"),
        ({"exit_code": 3}, "out_of_memory"),
        ({"exit_code": 42}, "stopped"),
        ({"exit_code": attempt.CRASHED}, "stopped"),
        ({}, "stopped"),  # killed
        ({"fruitless": standing.MOST_FRUITLESS}, "failed"),
        ({"fruitless": standing.MOST_FRUITLESS, "exit_code": 42}, "failed"),
    ],
)
def test_the_state_follows_from_how_the_last_attempt_ended(record, state, tmp_path):
    attempted(tmp_path, **record)
    assert standing.read(tmp_path).state == state
    with lease.held(tmp_path):
        assert standing.read(tmp_path).state == "running"


def test_who_was_given_up_and_is_forgiven_is_tried_again(tmp_path):
    attempted(tmp_path, exit_code=2, fruitless=5)
    attempt.forgive(tmp_path)
    assert standing.read(tmp_path).state == "stopped"


def test_figures_are_the_last_ones_and_a_half_written_line_is_none(tmp_path):
    attempted(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps({"config": {"steps": 100, "batch_size": 8}})
    )
    (tmp_path / "result.json").write_text(json.dumps({"step": 20, "AP": 0.5}))
    rows = [{"step": 20, "AP": 0.5}, {"step": 30, "images_per_second": 4.0}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines + '{"step": 40, "images_per_')
    found = standing.read(tmp_path)
    assert (found.step, found.steps, found.metric) == (30, 100, 0.5)
    assert found.images_per_second == 4.0
    assert found.seconds_left == 70 * 8 / 4.0


def test_before_the_first_evaluation_there_is_no_figure(tmp_path):
    attempted(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({"step": 0, "AP": None}))
    found = standing.read(tmp_path)
    assert math.isnan(found.metric)
    assert math.isnan(found.images_per_second)


def test_the_reason_is_the_last_error_of_the_log(tmp_path):
    attempted(tmp_path, exit_code=1)
    (tmp_path / "log.txt").write_text("error: early\nerror: the loss became nan\nbye\n")
    assert standing.read(tmp_path).reason == "error: the loss became nan"
    (tmp_path / "log.txt").write_text("Killed\n\n")
    assert standing.read(tmp_path).reason == "Killed"
