"""Batch normalisation with an activation, and its gradients, in float64."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x * sigmoid(x),
}
SLOPES = {
    "none": np.ones_like,
    "relu": lambda x: (x > 0) * 1.0,
    "relu6": lambda x: ((x > 0) & (x < 6)) * 1.0,
    "silu": lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
}


def normalise(x, scale, bias, epsilon, activation):
    """Returns the activated normal image, its mean and its variance."""
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    normal = (x - mean) / np.sqrt(var + epsilon) * scale + bias
    return ACTIVATIONS[activation](normal), mean, var


def gradients(x, scale, bias, epsilon, activation, gradient):
    """Returns the gradients of sum(normalise(x, scale, bias)[0] * gradient).

    By the chain rule over the mean and the variance, one after the other.
    """
    cells = (0, 1, 2)
    n = x[..., 0].size
    mean, var = x.mean(cells), x.var(cells)
    deviation = np.sqrt(var + epsilon)
    normal = (x - mean) / deviation
    slope = gradient * SLOPES[activation](normal * scale + bias)
    of_normal = slope * scale
    of_var = (of_normal * (x - mean)).sum(cells) * -0.5 / deviation**3
    of_mean = -of_normal.sum(cells) / deviation
    of_x = of_normal / deviation + of_var * 2 * (x - mean) / n + of_mean / n
    return of_x, (slope * normal).sum(cells), slope.sum(cells)
