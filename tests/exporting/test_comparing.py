import numpy as np
import pytest

from efdet_jax.exporting.comparing import TOLERANCE, difference
from efdet_jax.structures import Detections

ROWS = [
    # y0, x0, y1, x1, score, class
    (10, 10, 50, 40, 0.9, 0),
    (12, 60, 30, 90, 0.7, 1),
    (60, 20, 90, 70, 0.7, 1),
    (5, 5, 20, 20, 0.002, 0),
    (0, 0, 0, 0, 0.0, -1),
]


def detections(*rows):
    table = np.array([rows], np.float32)
    return Detections(table[..., :4], table[..., 4], table[..., 5].astype(np.int32))


def compare(found, expected=tuple(ROWS), score_threshold=0.001):
    return difference(
        detections(*expected), detections(*found), score_threshold=score_threshold
    )


def changed(row, **changes):
    columns = ("y0", "x0", "y1", "x1", "score", "class_")
    rows = [list(each) for each in ROWS]
    for name, value in changes.items():
        rows[row][columns.index(name)] = value
    return rows


def test_the_same_differs_by_nothing():
    result = compare(ROWS)
    assert result == (0.0, 0.0, 3, 0)
    assert result.is_within(TOLERANCE)


def test_two_that_score_alike_may_stand_in_either_order():
    assert compare([ROWS[i] for i in (0, 2, 1, 3, 4)]) == (0.0, 0.0, 3, 0)


def test_a_moved_box_and_another_score_are_measured():
    moved = compare(changed(0, x1=40.5))
    assert moved.boxes == pytest.approx(0.5)
    assert not moved.is_within(TOLERANCE)
    lower = compare(changed(1, score=0.69))
    assert lower.scores == pytest.approx(0.01, rel=1e-4)
    assert not lower.is_within(TOLERANCE)


def test_rounding_is_within_the_tolerance():
    assert compare(changed(0, x1=40.01, score=0.9001)).is_within(TOLERANCE)


def test_another_class_leaves_two_boxes_alone():
    result = compare(changed(1, class_=0))
    assert result.num_alone == 2
    assert not result.is_within(TOLERANCE)


@pytest.mark.parametrize("swap", [False, True])
def test_a_box_that_one_of_them_has_not_is_counted(swap):
    fewer = [*ROWS[:2], *ROWS[3:], ROWS[4]]
    pair = (fewer, ROWS) if swap else (ROWS, fewer)
    assert compare(*pair).num_alone == 1


def test_a_box_at_the_threshold_may_be_missing():
    fewer = [*ROWS[:2], *ROWS[3:], ROWS[4]]
    assert compare(fewer, score_threshold=0.6995).num_alone == 0
    assert compare(fewer, score_threshold=0.65).num_alone == 1


def test_with_all_rows_in_use_the_last_may_be_another():
    rows = ROWS[:3]
    other = [*ROWS[:2], (70, 5, 80, 15, 0.7, 0)]
    assert compare(other, rows).num_alone == 0


def test_what_is_not_a_number_is_within_nothing():
    assert not compare(changed(0, x1=np.nan)).is_within(TOLERANCE)
    assert not compare(changed(0, score=np.nan)).is_within(TOLERANCE)


def test_the_best_score_counts_even_where_no_box_is_compared():
    low = [(10, 10, 50, 40, 0.02, 0), ROWS[4]]
    lower = [(10, 10, 50, 40, 0.01, 0), ROWS[4]]
    result = compare(lower, low)
    assert result.num_compared == 0
    assert result.scores == pytest.approx(0.01)
