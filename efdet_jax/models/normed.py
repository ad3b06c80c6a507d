"""Convolutions with the norms and activations around them.

In training these are layer after layer. In inference a norm is a factor and a shift for
each channel, and on CPU all of it is one pass over the image.
"""

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import depthwise, library, pointwise, thin
from efdet_jax.models.activations import NAMES, Activation
from efdet_jax.models.convolution import Kernel, full_conv, is_thin, placed
from efdet_jax.models.depthwise import Kernel as DepthwiseKernel
from efdet_jax.models.depthwise import depthwise_conv
from efdet_jax.models.layers import (
    Conv,
    Depthwise,
    Feature,
    Gate,
    Image,
    Pointwise,
    pointwise_conv,
)
from efdet_jax.models.norms import Affine, BatchNorm

Norm = Callable[..., Feature]
"""A BatchNorm, or what stands for it."""
PointwiseKernel = Float[Array, "inputs outputs"]
Expansion = tuple[PointwiseKernel, Affine]
"""A 1 x 1 convolution and the norm after it."""


def normed_conv(
    x: Image, conv: Conv, norm: Norm, activation: Activation, *, train: bool
) -> Feature:
    """Returns activation(norm(conv(x))); the convolution has no bias."""
    if train or conv.is_initializing() or not isinstance(norm, BatchNorm):
        return norm(conv(x), train=train, activation=activation)

    def plain(x: Image, kernel: Kernel, norm: Affine) -> Feature:
        return activation(norm(full_conv(x, kernel, conv.stride, conv.padding)))

    def compiled(x: Image, kernel: Kernel, norm: Affine) -> Feature:
        return thin.convolve(
            x,
            kernel * norm.factor[None, None, None, :],
            norm.shift,
            *placed(x, len(kernel), conv.stride, conv.padding),
            activation=NAMES[activation],
        )

    kernel = _kernel(conv, x.dtype)
    has_kernel = activation in NAMES and is_thin(x, kernel)
    run = _with_gradient_of(plain, compiled) if has_kernel else plain
    return run(x, kernel, norm.affine())


def expanded_depthwise(
    x: Image,
    expand: Pointwise | None,
    expand_norm: Norm | None,
    conv: Depthwise,
    norm: Norm,
    activation: Activation,
    *,
    train: bool,
) -> Feature:
    """Returns activation(norm(conv(activation(expand_norm(expand(x)))))).

    Args:
      x: the images.
      expand: a 1 x 1 convolution without bias; None for nothing before `conv`.
      expand_norm: the norm after it; None as well.
      conv: the convolution.
      norm: the norm after it.
      activation: of both norms.
      train: whether norms use the statistics of the batch.
    """
    is_plain = train or conv.is_initializing() or not isinstance(norm, BatchNorm)
    if is_plain or not isinstance(expand_norm, BatchNorm | None):
        if expand and expand_norm:
            x = expand_norm(expand(x), train=train, activation=activation)
        return norm(conv(x), train=train, activation=activation)

    def plain(
        x: Feature, expand: Expansion | None, kernel: DepthwiseKernel, norm: Affine
    ) -> Feature:
        if expand:
            weights, affine = expand
            x = activation(affine(pointwise_conv(x, None, weights)))
        y = depthwise_conv(x, kernel, conv.stride, conv.padding)
        return activation(norm(y))

    def compiled(
        x: Feature, expand: Expansion | None, kernel: DepthwiseKernel, norm: Affine
    ) -> Feature:
        args = (
            kernel * norm.factor[None, None, :],
            norm.shift,
            *placed(x, len(kernel), conv.stride, conv.padding),
        )
        name = NAMES[activation]
        if not expand:
            return depthwise.convolve(x, *args, activation=name)
        weights, affine = expand
        return depthwise.expand_and_convolve(
            x, weights, *affine, *args, activation=name
        )

    kernel = _kernel(conv, x.dtype)
    has_kernel = activation in NAMES and library.are_usable(x, kernel)
    run = _with_gradient_of(plain, compiled) if has_kernel else plain
    expansion = None
    if expand and expand_norm:
        expansion = _kernel(expand, x.dtype), expand_norm.affine()
    return run(x, expansion, kernel, norm.affine())


def normed_pointwise(
    x: Image,
    gate: Gate | None,
    conv: Pointwise,
    norm: Norm,
    shortcut: Feature | None = None,
    *,
    train: bool,
) -> Feature:
    """Returns norm(conv(x * gate)) + shortcut; the convolution has no bias.

    Args:
      x: the images.
      gate: as in `layers.pointwise_conv`.
      conv: the convolution.
      norm: the norm after it.
      shortcut: what is added; None for nothing.
      train: whether the norm uses the statistics of the batch.
    """
    if train or conv.is_initializing() or not isinstance(norm, BatchNorm):
        y = norm(conv(x, gate), train=train)
        return y if shortcut is None else y + shortcut

    def plain(
        x: Image,
        gate: Gate | None,
        kernel: PointwiseKernel,
        norm: Affine,
        shortcut: Feature | None,
    ) -> Feature:
        y = pointwise_conv(x, gate, kernel * norm.factor[None])
        y = y + norm.shift[None, None, None].astype(y.dtype)
        return y if shortcut is None else y + shortcut

    def compiled(
        x: Image,
        gate: Gate | None,
        kernel: PointwiseKernel,
        norm: Affine,
        shortcut: Feature | None,
    ) -> Feature:
        return pointwise.convolve(x, gate, kernel, *norm, shortcut)

    kernel = conv.get_variable("params", "kernel")
    has_kernel = library.are_usable(x, kernel)
    run = _with_gradient_of(plain, compiled) if has_kernel else plain
    return run(x, gate, kernel, norm.affine(), shortcut)


def _kernel(conv: nn.Module, dtype: jnp.dtype) -> Float[Array, "..."]:
    return conv.get_variable("params", "kernel").astype(dtype)


def _with_gradient_of(
    plain: Callable[..., Feature], compiled: Callable[..., Feature]
) -> Callable[..., Feature]:
    """Returns `compiled`, which has no gradient, with that of `plain`."""
    run = jax.custom_vjp(compiled)
    run.defvjp(
        lambda *arrays: (run(*arrays), arrays),
        lambda arrays, gradient: jax.vjp(plain, *arrays)[1](gradient),
    )
    return run
