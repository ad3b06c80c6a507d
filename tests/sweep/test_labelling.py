import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from efdet_jax.sweep.report.labelling import Label, label_points


def written(places, obstacles=()):
    figure = Figure(figsize=(4, 3), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    canvas.draw()
    renderer = canvas.get_renderer()
    labels = [Label(f"point {i}", x, y, "black") for i, (x, y) in enumerate(places)]
    label_points(axes, renderer, labels, obstacles=obstacles)
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    return boxes, axes.get_window_extent(renderer), axes.transData.transform(places)


def test_labels_cover_neither_each_other_nor_a_point_nor_the_border():
    places = np.random.default_rng(0).uniform(0, 1, (40, 2))
    boxes, inside, points = written(places)
    assert 10 < len(boxes) < 40
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.count_contains(points) == 0
        assert inside.count_contains(box.corners()) == 4


def test_a_label_goes_where_there_is_room():
    (box,), _, ((_, y),) = written([(0.5, 0.5)])
    assert box.y0 > y
    above = Bbox([[0, y], [400, y + 30]])
    (box,), _, _ = written([(0.5, 0.5)], [above])
    assert box.y1 < y
    assert written([(0.5, 0.5)], [Bbox([[0, 0], [400, 300]])])[0] == []
