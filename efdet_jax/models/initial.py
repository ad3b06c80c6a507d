"""Initial values of every parameter, drawn on the host in well under a second.

`jit(model.init)` would spend 17-22 s compiling some 400 random draws of D0. Here the
shapes come from `jax.eval_shape` and NumPy draws the values, one independent stream per
parameter, so that adding a layer changes no other layer's values.
"""

import re
import zlib
from collections.abc import Callable

import jax
import numpy as np

from efdet_jax.structures import Tree

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]


def _fans(shape: Shape) -> tuple[int, int]:
    """Returns (fan in, fan out) as Keras counts them; [k k c] is [k k c 1] to it."""
    window = int(np.prod(shape[:-2]))
    if len(shape) == 3:
        return int(np.prod(shape)), int(np.prod(shape[:2]))
    return window * shape[-2], window * shape[-1]


def _fan_out_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.normal(0.0, np.sqrt(2.0 / _fans(shape)[1]), shape)


def _glorot_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    limit = np.sqrt(6.0 / sum(_fans(shape)))
    return rng.uniform(-limit, limit, shape)


def _fan_in_truncated_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    values = rng.normal(size=shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.normal(size=int(outside.sum()))
    # 0.8796 is the deviation of a standard normal cut at two.
    return values * np.sqrt(1.0 / _fans(shape)[0]) / 0.87962566


def _fan_in_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    limit = 1 / np.sqrt(_fans(shape)[0])
    return rng.uniform(-limit, limit, shape)


def _zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    del rng
    return np.zeros(shape)


def _ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    del rng
    return np.ones(shape)


RULES: tuple[tuple[str, Draw], ...] = (
    (r"^(backbone/.*|head/conv/)kernel$", _fan_out_normal),
    (r"^head/predict/kernel$", _fan_in_uniform),
    (r"^neck/.*kernel$", _glorot_uniform),
    (r"_head/.*kernel$", _fan_in_truncated_normal),
    (r"(scale|var|_weights)$", _ones),
    (r"(bias|mean)$", _zeros),
)
"""The first rule whose pattern is found in a parameter's path draws it.

Source: the defaults of google/automl, measured there: the depthwise kernels of heads
are tiny (fan in counts all channels), those of the backbone are not. Of the classifier:
tensorflow/tpu, efficientnet_model.py; but its predictor's reach is 1 / sqrt(classes),
much too far for few of them. That of the inputs is about the same for 1000.
"""


def initial_variables(
    shapes: Tree, *, seed: int, foreground_prior: float | None
) -> dict[str, Tree]:
    """Returns values for the `params` and `batch_stats` of a network, as NumPy arrays.

    Args:
      shapes: from `detector.abstract_variables`.
      seed: of every draw.
      foreground_prior: what the class head says of any anchor and class at first.
        Source: RetinaNet section 4.1, pi. None for a network without such a head.
    """

    def value(
        path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct
    ) -> np.ndarray:
        name = "/".join(str(key.key) for key in path[1:])
        has_prior = foreground_prior is not None
        if has_prior and re.fullmatch(r"class_head/predict/(pointwise/)?bias", name):
            bias = -np.log((1 - foreground_prior) / foreground_prior)
            return np.full(leaf.shape, bias, leaf.dtype)
        draw = next(draw for pattern, draw in RULES if re.search(pattern, name))
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        return draw(rng, leaf.shape).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, shapes)
