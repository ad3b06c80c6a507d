"""The pieces that backbones, necks and heads are made of.

Modules declare shapes; `initial` draws the values, by the names given here. All images
are [b h w c]; computation is in the dtype of the image, statistics in float32.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.models.depthwise import (
    Image,
    Resized,
    channel_sums,
    convolve,
    depthwise_conv,
)

Feature = Float[Array, "b _ _ _"]
"""Another size and other channels than an `Image` beside it."""
Vector = Float[Array, " c"]

zeros, ones = nn.initializers.zeros, nn.initializers.ones


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
    def __call__(self, x: Image, *, train: bool) -> Image:
        """Returns the normalised image; updates `batch_stats` when training."""
        c = x.shape[-1]
        scale = self.param("scale", ones, (c,))
        bias = self.param("bias", zeros, (c,))
        running_mean = self.variable("batch_stats", "mean", zeros, None, (c,))
        running_var = self.variable("batch_stats", "var", ones, None, (c,))
        if not train or self.frozen:
            factor = scale * lax.rsqrt(running_var.value + self.epsilon)
            shift = bias - running_mean.value * factor
            return (x * _spread(factor) + _spread(shift)).astype(x.dtype)
        y, mean, var = _normalise(x, scale, bias, self.epsilon)
        if not self.is_initializing():
            n = x.size // c
            unbiased = var * (n / max(n - 1, 1))
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * unbiased
        return y


def _spread(vector: Vector) -> Float[Array, "1 1 1 c"]:
    return vector.reshape(1, 1, 1, -1)


def _sums(*images: Image) -> Float[Array, "images c"]:
    def plain(*images: Image) -> Float[Array, "images c"]:
        return jnp.stack([jnp.sum(i, (0, 1, 2), dtype=jnp.float32) for i in images])

    def one_pass(*images: Image) -> Float[Array, "images c"]:
        return channel_sums(list(images))

    return lax.platform_dependent(*images, cpu=one_pass, default=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalise(
    x: Image, scale: Vector, bias: Vector, epsilon: float
) -> tuple[Image, Vector, Vector]:
    """Returns normalised `x`, and the batch's mean and biased variance.

    Its own gradient keeps only `x` and two vectors for the backward pass and reads the
    image twice; mean and variance are outputs for the running averages only and carry
    no gradient.
    """
    return _normalise_forward(x, scale, bias, epsilon)[0]


def _normalise_forward(
    x: Image, scale: Vector, bias: Vector, epsilon: float
) -> tuple[tuple[Image, Vector, Vector], tuple[Image, Vector, Vector, Vector]]:
    n = x.size // x.shape[-1]
    total, total_squares = _sums(x, lax.square(x.astype(jnp.float32)))
    mean = total / n
    var = jnp.maximum(total_squares / n - lax.square(mean), 0.0)
    inverse = lax.rsqrt(var + epsilon)
    factor = scale * inverse
    y = ((x - _spread(mean)) * _spread(factor) + _spread(bias)).astype(x.dtype)
    return (y, mean, var), (x, scale, mean, inverse)


def _normalise_backward(
    epsilon: float,
    residuals: tuple[Image, Vector, Vector, Vector],
    gradients: tuple[Image, Vector, Vector],
) -> tuple[Image, Vector, Vector]:
    del epsilon
    x, scale, mean, inverse = residuals
    gradient = gradients[0]
    n = x.size // x.shape[-1]
    total, total_x = _sums(gradient, gradient * x)
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


@jax.custom_vjp
def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns x * sigmoid(x), keeping only `x` for the backward pass.

    Source: "swish" of arXiv 1710.05941. JAX's own keeps the sigmoid too: as much memory
    again, for an exponential that is cheap to take twice.
    """
    return x * jax.nn.sigmoid(x)


def _silu_backward(
    x: Float[Array, "..."], gradient: Float[Array, "..."]
) -> tuple[Float[Array, "..."]]:
    sigmoid = jax.nn.sigmoid(x)
    return (gradient * sigmoid * (1 + x * (1 - sigmoid)),)


silu.defvjp(lambda x: (silu(x), x), _silu_backward)

Activation = Callable[[Float[Array, "..."]], Float[Array, "..."]]
ACTIVATIONS: dict[str, Activation] = {
    "silu": silu,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
}


class Style(NamedTuple):
    """What all parts of a detector have in common."""

    norm: Callable[..., Callable[..., Feature]]
    """Makes a BatchNorm, or what stands for it, given its name."""
    activation: Activation
    padding: str
    """One of `depthwise.PADDINGS`."""
    conv: Callable[..., nn.Module]
    """Makes a 3 x 3 convolution of neck or head, given its channels and name."""
    conv_bias: bool
    """Whether convolutions outside of the backbone have biases before a BatchNorm.

    They are redundant, and the published TensorFlow weights have them.
    """


class Conv(nn.Module):
    """A full convolution."""

    features: int
    window: int
    stride: int
    padding: str
    use_bias: bool

    @nn.compact
    def __call__(self, x: Image) -> Feature:
        """Returns the convolved image."""
        shape = (self.window, self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", zeros, shape)
        y = convolve(x, kernel.astype(x.dtype), self.stride, self.padding)
        return _add_bias(self, y) if self.use_bias else y


class Pointwise(nn.Module):
    """A 1 x 1 convolution, written as the matrix product that it is."""

    features: int
    use_bias: bool

    @nn.compact
    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... d"]:
        """Returns the last axis multiplied by the kernel, plus the bias."""
        kernel = self.param("kernel", zeros, (x.shape[-1], self.features))
        y = _product(x.reshape(-1, x.shape[-1]), kernel.astype(x.dtype))
        y = y.reshape(*x.shape[:-1], self.features)
        return _add_bias(self, y) if self.use_bias else y


@jax.custom_vjp
def _product(
    x: Float[Array, "n c"], kernel: Float[Array, "c d"]
) -> Float[Array, "n d"]:
    """Returns the matrix product; its gradient transposes the narrower operand.

    XLA on CPU copies the transposed left operand of `x.T @ gradient`, one of the
    largest costs of a training step when that is the six times wider side.
    """
    return x @ kernel


def _product_backward(
    residuals: tuple[Float[Array, "n c"], Float[Array, "c d"]],
    gradient: Float[Array, "n d"],
) -> tuple[Float[Array, "n c"], Float[Array, "c d"]]:
    x, kernel = residuals
    if x.shape[1] <= gradient.shape[1]:
        kernel_gradient = x.T @ gradient
    else:
        kernel_gradient = (gradient.T @ x).T
    return gradient @ kernel.T, kernel_gradient


_product.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _product_backward)


def _add_bias(module: nn.Module, y: Float[Array, "... d"]) -> Float[Array, "... d"]:
    bias = module.param("bias", zeros, (y.shape[-1],))
    return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


class Depthwise(nn.Module):
    """A depthwise convolution without bias."""

    window: int
    stride: int
    padding: str

    @nn.compact
    def __call__(self, x: Image) -> Resized:
        """Returns each channel convolved with its own kernel."""
        kernel = self.param("kernel", zeros, (self.window, self.window, x.shape[-1]))
        return depthwise_conv(x, kernel.astype(x.dtype), self.stride, self.padding)


class SeparableConv(nn.Module):
    """A depthwise 3 x 3 without bias, then a 1 x 1."""

    features: int
    use_bias: bool

    @nn.compact
    def __call__(self, x: Image) -> Feature:
        """Returns the convolved image at the same size."""
        x = Depthwise(3, 1, "same", name="depthwise")(x)
        return Pointwise(self.features, self.use_bias, name="pointwise")(x)


# At stride 1 both paddings are the same.
_full = functools.partial(Conv, window=3, stride=1, padding="same")
CONVS: dict[str, Callable[..., nn.Module]] = {
    "separable": SeparableConv,
    "full": _full,
}
"""3 x 3 convolutions from channels, `use_bias` and a name."""


def no_norm(name: str) -> Callable[..., Feature]:
    """Returns what leaves an image as it is, where a norm would be of that name."""
    del name

    def identity(x: Feature, *, train: bool) -> Feature:
        del train
        return x

    return identity


NORMS: dict[str, Callable[..., Callable[..., Feature]]] = {
    "batch": BatchNorm,
    "none": no_norm,
}


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (arXiv 1709.01507): channels scaled by global context."""

    squeezed: int
    activation: Activation

    @nn.compact
    def __call__(self, x: Image) -> Image:
        """Returns `x` times a gate in (0, 1) per image and channel."""
        context = jnp.mean(x, axis=(1, 2))
        context = Pointwise(self.squeezed, use_bias=True, name="reduce")(context)
        context = self.activation(context)
        gate = Pointwise(x.shape[-1], use_bias=True, name="expand")(context)
        return x * jax.nn.sigmoid(gate)[:, None, None, :]


def drop_path(
    x: Image, survival_prob: float, key: Float[Array, "..."] | jax.Array
) -> Image:
    """Returns `x` with whole images of it zeroed, the others scaled to keep the mean.

    Source: stochastic depth, arXiv 1603.09382 (the reference's "drop connect").
    """
    keep = jax.random.bernoulli(key, survival_prob, (x.shape[0], 1, 1, 1))
    return jnp.where(keep, x / survival_prob, jnp.zeros_like(x))
