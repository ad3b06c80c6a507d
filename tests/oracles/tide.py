"""TIDE by the words of its paper, sections 2.2 and 2.3, in loops.

An image is (truth, found) as `oracles.verdicts` has them.
"""

import numpy as np
from oracles.geometry import iou_of_pair
from oracles.verdicts import verdicts


def average_precision(answers, num_objects):
    """COCO's, of (score, is right), no two scores alike."""
    precision, recall, right = [], [], 0
    for rank, (_, is_right) in enumerate(sorted(answers, key=lambda a: -a[0]), 1):
        right += is_right
        precision.append(right / rank)
        recall.append(right / num_objects)
    total = 0.0
    for threshold in np.linspace(0, 1, 101):
        reached = [p for p, r in zip(precision, recall, strict=True) if r >= threshold]
        total += max(reached, default=0.0)
    return total / 101


def kind_of(box, class_, truth):
    """The kind of a wrong detection, and the object that it is about."""
    same = [
        (iou_of_pair(box, b), o)
        for o, (b, c, crowd) in enumerate(truth)
        if c == class_ and not crowd
    ]
    other = [
        (iou_of_pair(box, b), o)
        for o, (b, c, crowd) in enumerate(truth)
        if c != class_ and not crowd
    ]
    best_same, best_other = max(same, default=(0, None)), max(other, default=(0, None))
    if 0.1 <= best_same[0] <= 0.5:
        return "localisation", best_same[1]
    if best_other[0] >= 0.5:
        return "classification", best_other[1]
    if best_same[0] >= 0.5:
        return "duplicate", None
    if best_other[0] <= 0.1:
        return "background", None
    return "both", None


def errors(images):
    """(AP50, {kind: count}, {kind: AP50 gained without it})."""
    answers, objects, about = [], [], {}
    for i, (truth, found) in enumerate(images):
        said = verdicts(truth, found)
        for d, (box, class_, score) in enumerate(found):
            if said[d] == "ignored":
                continue
            answer = {"class": class_, "score": score, "kind": "", "object": None}
            if said[d] == "wrong":
                answer["kind"], o = kind_of(box, class_, truth)
                if o is not None:
                    answer["object"] = (i, o)
            answers.append(answer)
        for o, (_, class_, is_crowd) in enumerate(truth):
            if not is_crowd:
                objects.append((i, o))
                about[i, o] = {"class": class_, "found": o in said}
    targeted = {answer["object"] for answer in answers}
    best = {}
    for answer in sorted(answers, key=lambda a: a["score"]):
        best[answer["object"]] = answer
    missed = {o for o in objects if not about[o]["found"] and o not in targeted}

    def ap50(without):
        answers_of, count = {}, {}
        for o in objects:
            if not (without == "missed" and o in missed):
                class_ = about[o]["class"]
                count[class_] = count.get(class_, 0) + 1
        for answer in answers:
            class_, is_right = answer["class"], not answer["kind"]
            if answer["kind"] == without:
                o = answer["object"]
                # Of all that are about an object, its code repairs the best alone.
                if o is None or about[o]["found"] or best[o] is not answer:
                    continue
                class_, is_right = about[o]["class"], True
            answers_of.setdefault(class_, []).append((answer["score"], is_right))
        aps = [average_precision(answers_of.get(c, []), n) for c, n in count.items()]
        return np.mean(aps) if aps else np.nan

    kinds = ["localisation", "classification", "duplicate", "background", "both"]
    counts = {kind: sum(a["kind"] == kind for a in answers) for kind in kinds}
    counts["missed"] = len(missed)
    before = ap50("nothing")
    return before, counts, {kind: ap50(kind) - before for kind in counts}
