"""The pieces that backbones, necks and heads are made of.

Modules declare shapes; `initial` draws the values, by the names given here. All images
are [b h w c]; computation is in the dtype of the image, statistics in float32.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import library
from efdet_jax.models.activations import Activation
from efdet_jax.models.convolution import full_conv
from efdet_jax.models.depthwise import depthwise_conv
from efdet_jax.models.windows import Image, Resized

Feature = Float[Array, "b _ _ _"]
"""Another size and other channels than an `Image` beside it."""
Gate = Float[Array, "b c"]
"""A factor for each channel of each image."""
zeros, ones = nn.initializers.zeros, nn.initializers.ones


class Style(NamedTuple):
    """What all parts of a detector have in common."""

    norm: Callable[..., Callable[..., Feature]]
    """Makes a BatchNorm, or what stands for it, given its name."""
    activation: Activation
    padding: str
    """One of `windows.PADDINGS`."""
    conv: Callable[..., nn.Module]
    """Makes a 3 x 3 convolution of neck or head, given its channels and name."""
    conv_bias: bool
    """Whether convolutions outside of the backbone have biases before a BatchNorm.

    They are redundant, and the published TensorFlow weights have them.
    """
    remat: bool
    """Whether the backward pass computes blocks again, see `remat`."""


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
        y = full_conv(x, kernel.astype(x.dtype), self.stride, self.padding)
        return _add_bias(self, y) if self.use_bias else y


class Pointwise(nn.Module):
    """A 1 x 1 convolution, written as the matrix product that it is."""

    features: int
    use_bias: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "... c"], gate: Gate | None = None
    ) -> Float[Array, "... d"]:
        """Returns the last axis multiplied by gate and kernel, plus the bias."""
        kernel = self.param("kernel", zeros, (x.shape[-1], self.features))
        y = pointwise_conv(x, gate, kernel)
        return _add_bias(self, y) if self.use_bias else y


def pointwise_conv(
    x: Float[Array, "... c"], gate: Gate | None, kernel: Float[Array, "c d"]
) -> Float[Array, "... d"]:
    """Returns (x * gate) @ kernel in the dtype of `x`.

    Every image has its own kernel then: multiplying that costs nothing, but all cells
    of an image three passes over memory in a training step, and one in inference.

    Args:
      x: any number of axes before the channels; images if there is a gate.
      gate: what each channel of each image is multiplied by; None for 1.
      kernel: in any dtype.
    """
    c, d = kernel.shape
    if x.ndim == 4 and not library.compiler().flattens_images:
        gated = x if gate is None else x * gate[:, None, None]
        if x.shape[1:3] == (1, 1):
            # A convolution, or product, of one cell becomes an operation in TFLite
            # whose shape it then refuses.
            products = gated[:, 0, 0, :, None] * kernel.astype(x.dtype)[None]
            return jnp.sum(products, axis=1)[:, None, None]
        return full_conv(gated, kernel.astype(x.dtype)[None, None], 1, "same")
    if gate is None:
        y = _product(x.reshape(-1, c), kernel.astype(x.dtype))
    else:
        kernels = (gate[:, :, None] * kernel[None]).astype(x.dtype)
        y = jax.vmap(_product)(x.reshape(x.shape[0], -1, c), kernels)
    return y.reshape(*x.shape[:-1], d)


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


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (arXiv 1709.01507): channels gated by global context."""

    squeezed: int
    activation: Activation

    @nn.compact
    def __call__(self, x: Image) -> Gate:
        """Returns what the channels of `x` are to be multiplied by, in (0, 1)."""
        context = jnp.mean(x, axis=(1, 2))
        context = Pointwise(self.squeezed, use_bias=True, name="reduce")(context)
        context = self.activation(context)
        gate = Pointwise(x.shape[-1], use_bias=True, name="expand")(context)
        return jax.nn.sigmoid(gate)


def drop_path(
    x: Image, survival_prob: float, key: Float[Array, "..."] | jax.Array
) -> Image:
    """Returns `x` with whole images of it zeroed, the others scaled to keep the mean.

    Source: stochastic depth, arXiv 1603.09382 (the reference's "drop connect").
    """
    keep = jax.random.bernoulli(key, survival_prob, (x.shape[0], 1, 1, 1))
    return jnp.where(keep, x / survival_prob, jnp.zeros_like(x))
