import math
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from efdet_jax.sweep.report.curves import COSTS, Curve, Point
from efdet_jax.sweep.report.figure import COLOURS, MARKERS, draw
from efdet_jax.sweep.report.forecast import study
from efdet_jax.sweep.report.published import PUBLISHED

SVG = "{http://www.w3.org/2000/svg}"


def drawn(curves, cost="multiply_adds", outlooks=None):
    return draw(curves, outlooks or {}, cost=cost, metric="AP", note="")


def test_both_formats_hold_a_picture():
    outlooks = {PUBLISHED.name: study(PUBLISHED, []).outlook}
    images = drawn([PUBLISHED], outlooks=outlooks)
    picture = cv2.imdecode(np.frombuffer(images.png, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (768, 1216, 3)
    colour = np.array([int(COLOURS[0][i : i + 2], 16) for i in (5, 3, 1)])
    assert (np.abs(picture - colour).max(-1) < 8).sum() > 1000
    tree = ET.fromstring(images.svg)
    assert tree.tag == f"{SVG}svg"
    assert len(list(tree.iter(f"{SVG}path"))) > 50


def test_the_same_points_are_the_same_bytes():
    assert drawn([PUBLISHED]) == drawn([PUBLISHED])


def test_there_is_no_figure_of_a_cost_that_nobody_measured():
    assert drawn([PUBLISHED], "latency_ms") is None
    assert drawn([]) is None


@pytest.mark.parametrize("cost", COSTS)
def test_a_single_point_and_equal_points_are_drawn(cost):
    point = Point("a", 1, 0.0, math.nan, 2e6, 1e6, 0.02)
    curve = Curve("necks", "s", "necks", (point, point._replace(label="b")))
    assert drawn([curve], cost).png
    assert drawn([curve._replace(points=(point,))], cost).png


def test_many_families_are_drawn_and_colours_and_markers_do_not_repeat_together():
    curves = [PUBLISHED._replace(name=f"family {i}") for i in range(9)]
    assert drawn(curves).png
    assert math.gcd(len(COLOURS), len(MARKERS)) == 1
