import math

import pytest
from made_sweep import result, trial, value, write

from efdet_jax.sweep.report.curves import make_curves
from efdet_jax.sweep.report.forecast import study
from efdet_jax.sweep.report.runs import read_runs

COSTS = [1e7, 2e7, 4e7, 8e7, 16e7]


def study_of(tmp_path, costs, extra=()):
    rows = [
        (trial(f"t{i}", point=f"phi {i}"), result(cost, value(cost)))
        for i, cost in enumerate(costs)
    ]
    runs = read_runs([write(tmp_path / "s", [*rows, *extra])])
    return study(make_curves(runs, "AP")[0], runs)


def test_the_next_size_is_a_step_of_the_mean_ratio_on(tmp_path):
    ahead = study_of(tmp_path, COSTS).outlook.next
    assert ahead.label == ""
    assert ahead.multiply_adds == pytest.approx(32e7)
    assert ahead.value == pytest.approx(value(32e7), abs=1e-4)
    assert ahead.low <= ahead.value <= ahead.high
    assert math.isnan(ahead.measured)


def test_the_next_size_is_that_of_the_smallest_trial_that_has_begun(tmp_path):
    begun = [
        (trial("u", point="phi 7"), result(9e8, 0.1, status="running")),
        (trial("v", point="phi 6"), result(5e8, 0.1, status="running")),
        (trial("w", point="phi 1"), result(2e7, 0.1, status="running")),
        (trial("x", "BiFPN", "other"), result(4e8, 0.1, status="running")),
        (trial("y", point="phi 5"), None),
    ]
    ahead = study_of(tmp_path, COSTS, begun).outlook.next
    assert (ahead.label, ahead.multiply_adds) == ("phi 6", 5e8)


def test_the_largest_size_is_foretold_by_the_smaller_ones(tmp_path):
    off = [(trial("z", point="phi 5"), result(32e7, value(32e7) - 0.03))]
    check = study_of(tmp_path, COSTS, off).outlook.check
    assert check.label == "phi 5"
    assert check.measured - check.value == pytest.approx(-0.03, abs=1e-4)
    assert not check.low <= check.measured <= check.high


def test_what_few_sizes_cannot_tell_is_left_out(tmp_path):
    four = study_of(tmp_path / "four", COSTS[:4])
    assert four.outlook.check is None
    three = study_of(tmp_path / "three", COSTS[:3])
    assert three.outlook is None
    assert three.problem == "needs 4 sizes, there are 3"
