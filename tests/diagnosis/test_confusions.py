import numpy as np
import pytest
from crowded import as_images, crowded
from oracles.geometry import iou_of_pair

from efdet_jax.diagnosis.confusions import confusion_matrix, most_confused
from efdet_jax.diagnosis.matching import owners


def counted_slowly(images, num_classes, score):
    """The best detections take, one by one, the free object that they overlap most."""
    matrix = np.zeros((num_classes + 1, num_classes + 1), int)
    for truth, found in images:
        free = [(box, class_) for box, class_, _ in truth]
        for box, class_, own_score in sorted(found, key=lambda each: -each[2]):
            if own_score < score:
                continue
            best = max(free, key=lambda each: iou_of_pair(box, each[0]), default=None)
            if best is not None and iou_of_pair(box, best[0]) >= 0.5:
                free = [each for each in free if each is not best]
                matrix[best[1], class_] += 1
            else:
                matrix[num_classes, class_] += 1
        for _, class_ in free:
            matrix[class_, num_classes] += 1
    return matrix


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_one_detection_at_a_time(seed):
    annotations, found = crowded(np.random.default_rng(seed), crowd=0)
    owner = owners(annotations, found)
    ours = confusion_matrix(annotations, found, owner, 3, score=0.3)
    slowly = counted_slowly(as_images(annotations, found), 3, 0.3)
    np.testing.assert_array_equal(ours, slowly)
    assert ours[:3, :3].sum() > np.trace(ours) > 0


def test_what_lies_in_a_crowd_is_no_mistake():
    annotations, found = crowded(np.random.default_rng(0), images=1, crowd=1)
    box = annotations[0].boxes[0]
    found = found._replace(boxes=np.tile(box, (len(found.scores), 1)))
    found = found._replace(
        classes=np.full(len(found.scores), annotations[0].classes[0])
    )
    owner = owners(annotations, found)
    assert confusion_matrix(annotations, found, owner, 3, score=0).sum() == 0


def test_the_most_confused_classes_are_those_taken_for_each_other():
    matrix = np.diag([9, 9, 9, 9, 0])
    matrix[3, 1] = 2
    matrix[0, 4] = matrix[4, 2] = 50  # Background is no class.
    assert most_confused(matrix, 2) == [1, 3]
