"""Convolutions with the norms and activations around them.

In training these are layer after layer. In inference a norm is a factor and a shift for
each channel, and on CPU all of it is one pass over the image.
"""

from collections.abc import Callable

import jax

from efdet_jax.kernels import depthwise, library, thin
from efdet_jax.models.activations import NAMES, Activation
from efdet_jax.models.convolution import Kernel, full_conv, is_thin, placed
from efdet_jax.models.depthwise import Kernel as DepthwiseKernel
from efdet_jax.models.depthwise import depthwise_conv
from efdet_jax.models.layers import Conv, Depthwise, Feature, Image
from efdet_jax.models.norms import Affine, BatchNorm

Norm = Callable[..., Feature]
"""A BatchNorm, or what stands for it."""


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

    kernel = conv.get_variable("params", "kernel").astype(x.dtype)
    has_kernel = activation in NAMES and is_thin(x, kernel)
    run = _with_gradient_of(plain, compiled) if has_kernel else plain
    return run(x, kernel, norm.affine())


def normed_depthwise(
    x: Image,
    before: Norm | None,
    conv: Depthwise,
    after: Norm,
    activation: Activation,
    *,
    train: bool,
) -> Feature:
    """Returns activation(after(conv(activation(before(x))))).

    Args:
      x: the images.
      before: the norm before the convolution; None if `x` is activated already.
      conv: the convolution.
      after: the norm after it.
      activation: of both norms.
      train: whether norms use the statistics of the batch.
    """
    is_affine = isinstance(after, BatchNorm) and isinstance(before, BatchNorm | None)
    if train or conv.is_initializing() or not is_affine:
        if before:
            x = before(x, train=train, activation=activation)
        return after(conv(x), train=train, activation=activation)

    def plain(
        x: Image, before: Affine | None, kernel: DepthwiseKernel, after: Affine
    ) -> Feature:
        x = activation(before(x)) if before else x
        y = depthwise_conv(x, kernel, conv.stride, conv.padding)
        return activation(after(y))

    def compiled(
        x: Image, before: Affine | None, kernel: DepthwiseKernel, after: Affine
    ) -> Feature:
        return depthwise.convolve_activated(
            x,
            before,
            kernel * after.factor[None, None, :],
            after.shift,
            *placed(x, len(kernel), conv.stride, conv.padding),
            activation=NAMES[activation],
        )

    kernel = conv.get_variable("params", "kernel").astype(x.dtype)
    has_kernel = activation in NAMES and library.are_usable(x, kernel)
    run = _with_gradient_of(plain, compiled) if has_kernel else plain
    return run(x, before.affine() if before else None, kernel, after.affine())


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
