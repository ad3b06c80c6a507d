"""Batch normalisation with the activation after it, as calls of C++."""

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import activations

Image = Float[Array, "b h w c"]
Vector = Float[Array, " c"]


def normalise(
    x: Image, scale: Vector, bias: Vector, *, epsilon: float, activation: str
) -> tuple[Image, Vector, Vector]:
    """Returns the activated normal image, and its mean and biased variance.

    Args:
      x: the images.
      scale: of each channel.
      bias: of each channel.
      epsilon: added to the variance.
      activation: one of `activations.ACTIVATIONS`.
    """
    vector = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    image = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_normalise", (image, vector, vector))
    y, mean, var = call(x, scale, bias, **_attributes(epsilon, activation))
    return y, mean, var


def gradients(
    x: Image,
    scale: Vector,
    bias: Vector,
    mean: Vector,
    var: Vector,
    gradient: Image,
    *,
    epsilon: float,
    activation: str,
) -> tuple[Image, Vector, Vector]:
    """Returns the gradients of `normalise`'s image with respect to x, scale and bias.

    Args:
      x: as in `normalise`, as are scale, bias, epsilon and activation.
      scale: see there.
      bias: see there.
      mean: what it returned.
      var: what it returned.
      gradient: of the image that it returned.
      epsilon: see there.
      activation: see there.
    """
    vector = jax.ShapeDtypeStruct(scale.shape, jnp.float32)
    image = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_normalise_gradients", (image, vector, vector))
    attributes = _attributes(epsilon, activation)
    of_x, of_scale, of_bias = call(x, scale, bias, mean, var, gradient, **attributes)
    return of_x, of_scale, of_bias


def _attributes(epsilon: float, activation: str) -> dict[str, np.number]:
    return {
        "epsilon": np.float32(epsilon),
        "activation": activations.number(activation),
    }
