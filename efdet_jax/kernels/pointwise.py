"""1 x 1 convolution with what surrounds it in inference, as a call of C++."""

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

Image = Float[Array, "b h w c"]
Output = Float[Array, "b h w d"]
Vector = Float[Array, " d"]


def convolve(
    x: Image,
    gate: Float[Array, "b c"] | None,
    kernel: Float[Array, "c d"],
    factor: Vector,
    shift: Vector,
    addend: Output | None,
) -> Output:
    """Returns ((x * gate) @ kernel) * factor + shift + addend.

    Args:
      x: the images.
      gate: of each channel of each image; None for 1.
      kernel: the weights.
      factor: of each channel of the output.
      shift: of each channel of the output.
      addend: what is added last; None for nothing.
    """
    shape = jax.ShapeDtypeStruct((*x.shape[:3], kernel.shape[1]), jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_pointwise", shape)
    nothing = jnp.zeros((0,), jnp.float32)
    return call(
        x,
        nothing if gate is None else gate,
        kernel,
        factor,
        shift,
        nothing if addend is None else addend,
    )
