"""Losses of single numbers in float64, straight from the equations."""

import math


def focal(logit, is_positive, alpha, gamma, smoothing):
    p = 1 / (1 + math.exp(-logit))
    y = float(is_positive)
    y_smooth = y * (1 - smoothing) + smoothing / 2
    cross_entropy = -y_smooth * math.log(p) - (1 - y_smooth) * math.log(1 - p)
    p_t = p if is_positive else 1 - p
    alpha_t = alpha if is_positive else 1 - alpha
    return alpha_t * (1 - p_t) ** gamma * cross_entropy


def huber(error, delta):
    if abs(error) <= delta:
        return error**2 / 2
    return delta * abs(error) - delta**2 / 2


def detection(logits, codes, classes, targets, *, alpha, gamma, smoothing, delta):
    """(class loss, box loss) of a batch; classes -1 is background."""
    images, anchors, num_classes = logits.shape
    positives, class_sum, box_sum = 0, 0.0, 0.0
    for i in range(images):
        for a in range(anchors):
            positives += int(classes[i, a] >= 0)
            for c in range(num_classes):
                hit = classes[i, a] == c
                class_sum += focal(float(logits[i, a, c]), hit, alpha, gamma, smoothing)
            for c in range(4):
                if targets[i, a, c] != 0:
                    box_sum += huber(float(codes[i, a, c] - targets[i, a, c]), delta)
    return class_sum / (positives + 1), box_sum / (4 * (positives + 1))
