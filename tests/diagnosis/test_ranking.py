import numpy as np
import pytest
from crowded import as_images, crowded
from oracles.verdicts import verdicts

from efdet_jax.diagnosis.matching import owners
from efdet_jax.diagnosis.operating import best_operating_point
from efdet_jax.diagnosis.ranking import (
    ImageCounts,
    best_images,
    count_by_image,
    worst_images,
)


def test_counts_of_images_are_those_of_detections_judged_one_by_one():
    annotations, found = crowded(np.random.default_rng(1))
    counts = count_by_image(annotations, found, owners(annotations, found), score=0.4)
    for i, (truth, all_found) in enumerate(as_images(annotations, found)):
        said = verdicts(truth, [each for each in all_found if each[2] >= 0.4])
        right = sum(isinstance(each, int) for each in said)
        assert counts.right[i] == right
        assert counts.wrong[i] == said.count("wrong")
        assert counts.missed[i] == sum(not crowd for *_, crowd in truth) - right
    assert counts.wrong.sum() > 5
    assert counts.missed.sum() > 5


COUNTS = ImageCounts(
    right=np.array([5, 1, 0, 9, 2]),
    wrong=np.array([0, 1, 0, 3, 0]),
    missed=np.array([0, 3, 0, 0, 0]),
)


def test_the_worst_have_most_mistakes_and_the_best_none():
    assert worst_images(COUNTS, 5) == [1, 3]
    assert worst_images(COUNTS, 1) == [1]
    # An image without objects shows nothing.
    assert best_images(COUNTS, 5) == [0, 4]


def test_the_best_score_is_found_by_trying_all():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 30, 200) / 30
    is_right = rng.random(200) < scores
    tried = {}
    for score in np.unique(scores):
        kept = is_right[scores >= score]
        precision, recall = kept.mean(), kept.sum() / 150
        tried[score] = 2 * precision * recall / (precision + recall)
    point = best_operating_point(scores, is_right, 150)
    assert point.f1 == pytest.approx(max(tried.values()))
    assert tried[point.score] == pytest.approx(point.f1)
    kept = is_right[scores >= point.score]
    assert point.precision == pytest.approx(kept.mean())
    assert point.recall == pytest.approx(kept.sum() / 150)


def test_without_detections_or_objects_there_is_no_best_score():
    assert np.isnan(best_operating_point(np.zeros(0), np.zeros(0, bool), 3)).all()
    assert np.isnan(best_operating_point(np.ones(2), np.zeros(2, bool), 0)).all()
