"""Which detections of an image are right, one detection and one object at a time."""

from oracles.geometry import iou_of_pair


def share_inside(box, crowd):
    height = min(box[2], crowd[2]) - max(box[0], crowd[0])
    width = min(box[3], crowd[3]) - max(box[1], crowd[1])
    own = (box[2] - box[0]) * (box[3] - box[1])
    return max(height, 0) * max(width, 0) / own


def verdicts(truth, found, iou=0.5):
    """What each detection has found: a row of the truth, "wrong" or "ignored".

    truth: (box, class, is crowd) of each, a class of None being any;
    found: (box, class, score), no two scores alike.
    """
    said, taken = {}, set()
    for d in sorted(range(len(found)), key=lambda d: -found[d][2]):
        box, class_, _ = found[d]
        best, best_iou = None, iou
        is_in_crowd = False
        for o, (true_box, true_class, is_crowd) in enumerate(truth):
            if true_class not in (None, class_):
                continue
            if is_crowd:
                is_in_crowd |= share_inside(box, true_box) >= iou
            elif o not in taken and iou_of_pair(box, true_box) >= best_iou:
                best, best_iou = o, iou_of_pair(box, true_box)
        if best is not None:
            taken.add(best)
            said[d] = best
        else:
            said[d] = "ignored" if is_in_crowd else "wrong"
    return [said[d] for d in range(len(found))]
