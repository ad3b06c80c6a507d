"""The outlines of drawn scenes, against sums worked by hand."""

import numpy as np
import pytest

from efdet_jax.data import figures

# A 4 x 2 rectangle with a notch of 1 x 1 cut into its right side: area 7.
NOTCHED = np.array(
    [[0, 0], [0, 2], [1.5, 2], [1.5, 1], [2.5, 1], [2.5, 2], [4, 2], [4, 0.0]]
)


def test_every_shape_stays_inside_of_its_unit_circle():
    for contours in figures.SHAPES.values():
        for contour in contours:
            assert np.linalg.norm(contour, axis=1).max() <= 1 + 1e-9


def test_the_area_of_a_concave_polygon_is_that_of_its_parts():
    assert figures.polygon_area(NOTCHED) == pytest.approx(7)
    assert figures.polygon_area(NOTCHED[::-1]) == pytest.approx(7)
    turned = NOTCHED @ figures.rotation(0.7).T
    assert figures.polygon_area(turned) == pytest.approx(7)


@pytest.mark.parametrize(
    ("move", "area"), [((0, 0), 7), ((-2, 0), 3.5), ((0, -1.5), 0.5 * 3), ((9, 0), 0)]
)
def test_clipping_leaves_the_area_inside_of_the_image(move, area):
    clipped = figures.clip_polygon(NOTCHED + np.array(move), height=4, width=4)
    assert figures.polygon_area(clipped) == pytest.approx(area)


def test_a_figure_is_turned_enlarged_and_then_moved():
    figure = figures.Figure(
        contours=(np.array([[0.0, 1.0]]),),  # the tip on the right
        texture="solid",
        colours=np.zeros((2, 3)),
        centre=np.array([5.0, 3.0]),
        angle=np.pi / 2,
        radius=2.0,
    )
    (contour,) = figures.world_contours(figure)
    np.testing.assert_allclose(contour, [[3.0, 3.0]], atol=1e-12)
