import numpy as np
import pytest
from crowded import as_images, crowded
from oracles import tide

from efdet_jax.diagnosis.error_types import KINDS, error_types
from efdet_jax.diagnosis.matching import owners
from efdet_jax.metrics import coco_figures
from efdet_jax.structures import Annotations, SplitDetections


def sorted_out(annotations, found):
    return error_types(annotations, found, owners(annotations, found), 3)


@pytest.mark.parametrize("seed", range(8))
def test_kinds_and_costs_are_those_of_the_papers_words(seed):
    annotations, found = crowded(np.random.default_rng(seed))
    ours = sorted_out(annotations, found)
    ap50, counts, costs = tide.errors(as_images(annotations, found))
    assert ours.ap50 == pytest.approx(ap50)
    assert ours.counts == counts
    assert sum(count > 0 for count in counts.values()) >= 5
    assert ours.costs == pytest.approx(costs)
    assert max(costs.values()) > 0.01


def test_ap50_is_cocos():
    annotations, found = crowded(np.random.default_rng(5))
    figures = coco_figures(annotations, **found._asdict(), num_classes=3)
    assert sorted_out(annotations, found).ap50 == pytest.approx(figures.summary["AP50"])


BOX = np.array([0.0, 0, 10, 10])
FAR = BOX + 50
ASIDE = BOX + np.array([0, 6, 0, 6])


def one_image(objects, found):
    """Objects (box, class); detections (box, class), each worse than the one before."""
    boxes = np.array([box for box, _ in objects]).reshape(-1, 4)
    n = len(objects)
    truth = Annotations(
        image_id=1,
        height=100,
        width=100,
        boxes=boxes,
        classes=np.array([class_ for _, class_ in objects], int),
        is_crowd=np.zeros(n, bool),
        area=np.full(n, 100.0),
    )
    detections = SplitDetections(
        np.zeros(len(found), int),
        np.array([box for box, _ in found]).reshape(-1, 4),
        np.linspace(0.9, 0.1, len(found)),
        np.array([class_ for _, class_ in found], int),
    )
    return sorted_out([truth], detections)


def only(kind):
    return {name: int(name == kind) for name in KINDS}


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ([(BOX, 0)], "none"),
        # 40 of 160 square pixels are shared.
        ([(ASIDE, 0)], "localisation"),
        ([(BOX, 1)], "classification"),
        ([(BOX, 0), (BOX, 0)], "duplicate"),
        ([(BOX, 0), (FAR, 0)], "background"),
        ([(BOX, 0), (ASIDE, 1)], "both"),
        ([], "missed"),
    ],
)
def test_each_kind_by_hand(found, kind):
    assert one_image([(BOX, 0)], found).counts == only(kind)


def test_a_misnamed_detection_costs_what_its_object_is_worth():
    # Right: AP 1. Misnamed: AP 0, and nothing else is wrong.
    found = one_image([(BOX, 0)], [(BOX, 1)])
    assert found.ap50 == 0
    assert found.costs == pytest.approx(
        dict.fromkeys(KINDS, 0.0) | {"classification": 1.0}
    )


def test_without_objects_there_is_no_average():
    found = one_image([], [(BOX, 0)])
    assert np.isnan(found.ap50)
    assert found.counts == only("background")
