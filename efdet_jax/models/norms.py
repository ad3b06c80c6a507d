"""Normalisation, with the activation after it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import library
from efdet_jax.kernels import normalise as kernels
from efdet_jax.models.activations import NAMES, Activation, identity
from efdet_jax.models.depthwise import channel_sums
from efdet_jax.models.windows import Image

Vector = Float[Array, " c"]

zeros, ones = nn.initializers.zeros, nn.initializers.ones


class Affine(NamedTuple):
    """What is done to each channel."""

    factor: Float[Array, " channels"]
    shift: Float[Array, " channels"]

    def __call__(self, x: Image) -> Image:
        """Returns x * factor + shift, in the dtype of `x`."""
        return (x * _spread(self.factor) + _spread(self.shift)).astype(x.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over images and cells, across every device of the mesh.

    As in the reference, the running variance takes the unbiased batch variance
    (n / (n - 1)) while normalisation uses the biased one; at P7 of a small image that
    is a visible difference.

    Attributes:
      momentum: the share of the old running value that a step keeps.
      epsilon: added to the variance.
      frozen: whether to normalise by the running statistics, and to leave them, in
        training too.
    """

    momentum: float
    epsilon: float
    frozen: bool

    @nn.compact
    def __call__(
        self, x: Image, *, train: bool, activation: Activation = identity
    ) -> Image:
        """Returns the activated normal image; updates `batch_stats` when training."""
        c = x.shape[-1]
        scale = self.param("scale", ones, (c,))
        bias = self.param("bias", zeros, (c,))
        running_mean = self.variable("batch_stats", "mean", zeros, None, (c,))
        running_var = self.variable("batch_stats", "var", ones, None, (c,))
        if not train or self.frozen:
            affine = _affine(
                scale, bias, running_mean.value, running_var.value, self.epsilon
            )
            return activation(affine(x))
        y, mean, var = _normalise(x, scale, bias, self.epsilon, activation)
        if not self.is_initializing():
            n = x.size // c
            unbiased = var * (n / max(n - 1, 1))
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * unbiased
        return y

    def affine(self) -> Affine:
        """Returns what the norm does in inference, once it has variables."""
        scale, bias = (self.get_variable("params", name) for name in ("scale", "bias"))
        mean, var = (self.get_variable("batch_stats", name) for name in ("mean", "var"))
        return _affine(scale, bias, mean, var, self.epsilon)


def _affine(
    scale: Vector, bias: Vector, mean: Vector, var: Vector, epsilon: float
) -> Affine:
    factor = scale * lax.rsqrt(var + epsilon)
    return Affine(factor, bias - mean * factor)


def _spread(vector: Vector) -> Float[Array, "1 1 1 c"]:
    return vector.reshape(1, 1, 1, -1)


def _sums(*images: Image) -> Float[Array, "images c"]:
    def plain(*images: Image) -> Float[Array, "images c"]:
        return jnp.stack([jnp.sum(i, (0, 1, 2), dtype=jnp.float32) for i in images])

    def one_pass(*images: Image) -> Float[Array, "images c"]:
        return channel_sums(list(images))

    return lax.platform_dependent(*images, cpu=one_pass, default=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _normalise(
    x: Image, scale: Vector, bias: Vector, epsilon: float, activation: Activation
) -> tuple[Image, Vector, Vector]:
    """Returns activated normal `x`, and the batch's mean and biased variance.

    Its own gradient keeps only `x` and two vectors for the backward pass and reads the
    image twice; mean and variance are outputs for the running averages only and carry
    no gradient.
    """
    if _has_kernel(x, activation):
        settings = {"epsilon": epsilon, "activation": NAMES[activation]}
        return kernels.normalise(x, scale, bias, **settings)
    n = x.size // x.shape[-1]
    total, total_squares = _sums(x, lax.square(x.astype(jnp.float32)))
    mean = total / n
    var = jnp.maximum(total_squares / n - lax.square(mean), 0.0)
    return activation(_normal(x, scale, bias, mean, var, epsilon)), mean, var


def _has_kernel(x: Image, activation: Activation) -> bool:
    return activation in NAMES and library.are_usable(x)


def _normal(
    x: Image, scale: Vector, bias: Vector, mean: Vector, var: Vector, epsilon: float
) -> Image:
    factor = scale * lax.rsqrt(var + epsilon)
    return ((x - _spread(mean)) * _spread(factor) + _spread(bias)).astype(x.dtype)


def _normalise_forward(
    x: Image, scale: Vector, bias: Vector, epsilon: float, activation: Activation
) -> tuple[tuple[Image, Vector, Vector], tuple[Image, Vector, Vector, Vector, Vector]]:
    y, mean, var = _normalise(x, scale, bias, epsilon, activation)
    return (y, mean, var), (x, scale, bias, mean, var)


def _normalise_backward(
    epsilon: float,
    activation: Activation,
    residuals: tuple[Image, Vector, Vector, Vector, Vector],
    gradients: tuple[Image, Vector, Vector],
) -> tuple[Image, Vector, Vector]:
    x, scale, bias, mean, var = residuals
    gradient, _, _ = gradients
    if _has_kernel(x, activation):
        settings = {"epsilon": epsilon, "activation": NAMES[activation]}
        return kernels.gradients(*residuals, gradient, **settings)
    normal = _normal(x, scale, bias, mean, var, epsilon)
    (gradient,) = jax.vjp(activation, normal)[1](gradient)
    n = x.size // x.shape[-1]
    total, total_x = _sums(gradient, gradient * x)
    inverse = lax.rsqrt(var + epsilon)
    scale_gradient = (total_x - mean * total) * inverse
    # dx = scale * inverse * (g - mean(g) - x_hat * mean(g * x_hat)), with x_hat
    # written out so that the image is read once.
    factor = scale * inverse
    slope = factor * inverse * scale_gradient / n
    x_gradient = (
        gradient * _spread(factor)
        - x * _spread(slope)
        + _spread(slope * mean - factor * total / n)
    )
    return x_gradient.astype(x.dtype), scale_gradient, total


_normalise.defvjp(_normalise_forward, _normalise_backward)


def no_norm(name: str) -> Callable[..., Image]:
    """Returns what only activates an image, where a norm would be of that name."""
    del name

    def activate(x: Image, *, train: bool, activation: Activation = identity) -> Image:
        del train
        return activation(x)

    return activate


NORMS: dict[str, Callable[..., Callable[..., Image]]] = {
    "batch": BatchNorm,
    "none": no_norm,
}
