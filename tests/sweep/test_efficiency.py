import math

import numpy as np
import pytest

from efdet_jax.sweep.report.curves import Curve, Point
from efdet_jax.sweep.report.efficiency import cost_to_reach, gains, interpolate

COST = np.array([1.0, 10.0, 100.0])
VALUE = np.array([0.1, 0.3, 0.4])


def curve(name, *places, deviation=math.nan, seeds=1):
    points = (
        Point(f"{cost:g}", seeds, value, deviation, cost, math.nan, math.nan)
        for cost, value in places
    )
    return Curve(name, "sweep", name, tuple(points))


def test_values_lie_on_straight_lines_over_log_cost():
    assert interpolate(COST, VALUE, 10.0) == pytest.approx(0.3)
    # Half of a decade on: half of the way from 0.3 to 0.4.
    assert interpolate(COST, VALUE, 10**1.5) == pytest.approx(0.35)
    assert math.isnan(interpolate(COST, VALUE, 0.5))
    assert math.isnan(interpolate(COST, VALUE, 101.0))


def test_the_cost_of_a_value_is_where_the_line_first_has_it():
    cost, bound = cost_to_reach(COST, VALUE, 0.2)
    assert (cost, bound) == (pytest.approx(10**0.5), "")
    assert cost_to_reach(COST, VALUE, 0.1) == (1.0, "")
    assert cost_to_reach(COST, VALUE, 0.05) == (1.0, "<")
    assert cost_to_reach(COST, VALUE, 0.5) == (100.0, ">")
    dented = np.array([0.1, 0.3, 0.2])
    assert cost_to_reach(COST, dented, 0.3) == (pytest.approx(10.0), "")


def test_a_gain_is_over_the_best_of_the_rivals():
    compound = curve("compound", (10.0, 0.35))
    width = curve("width", (1.0, 0.1), (100.0, 0.4))
    depth = curve("depth", (1.0, 0.1), (100.0, 0.3))
    (row,) = gains(compound, [depth, width])
    assert (row.label, row.rival) == ("10", "width")
    assert row.rival_value == pytest.approx(0.25)
    # 0.35 is five sixths of the way from 0.1 to 0.4, over two decades.
    assert row.cost_ratio == pytest.approx(10 ** (2 * 5 / 6) / 10)
    assert row.bound == ""
    assert math.isnan(row.error)


def test_errors_over_seeds_add_in_squares():
    compound = curve("compound", (10.0, 0.35), deviation=0.03, seeds=9)
    width = curve("width", (1.0, 0.1), (100.0, 0.4), deviation=0.08, seeds=4)
    (row,) = gains(compound, [width])
    assert row.error == pytest.approx(math.hypot(0.01, 0.04))


def test_a_rival_that_gets_there_counts_before_one_that_ended_early():
    compound = curve("compound", (10.0, 0.35))
    early = curve("early", (1.0, 0.3), (12.0, 0.34))
    late = curve("late", (1.0, 0.1), (100.0, 0.4))
    (row,) = gains(compound, [early, late])
    assert row.rival == "early"
    assert (row.cost_ratio, row.bound) == (pytest.approx(10 ** (2 * 5 / 6) / 10), "")
    (row,) = gains(compound, [early])
    assert (row.cost_ratio, row.bound) == (pytest.approx(1.2), ">")


def test_nothing_is_said_where_no_rival_was_measured():
    compound = curve("compound", (10.0, 0.35), (1000.0, 0.5))
    width = curve("width", (1.0, 0.1), (100.0, 0.4))
    assert [row.label for row in gains(compound, [width])] == ["10"]
    assert gains(compound, [curve("width")]) == []
    assert gains(compound, []) == []


def test_a_point_of_both_is_where_they_begin_and_gains_nothing():
    compound = curve("compound", (1.0, 0.1), (10.0, 0.35))
    width = curve("width", (1.0, 0.1), (11.0, 0.4))
    (row,) = gains(compound, [width])
    assert (row.label, row.rival) == ("10", "width")
    assert row.rival_value == pytest.approx(0.1 + 0.3 * math.log(10) / math.log(11))


def test_a_rival_with_hardly_less_work_is_judged_by_its_last_point():
    width = curve("width", (1.0, 0.1), (9.8, 0.4), deviation=0.06, seeds=4)
    (row,) = gains(curve("compound", (10.0, 0.35), deviation=0.08, seeds=4), [width])
    assert row.rival_value == pytest.approx(0.4)
    assert row.error == pytest.approx(0.05)
    assert gains(curve("compound", (10.4, 0.35)), [width]) == []
