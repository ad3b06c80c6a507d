"""Focal loss with its slope, as a call of C++."""

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Bool, Float


def focal(
    logits: Float[Array, "*s"], is_present: Bool[Array, "*s"], **settings: float
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Returns the loss of every logit, and its derivative by the logit.

    Args:
      logits: any shape.
      is_present: whether the class is there.
      **settings: alpha, gamma and label_smoothing of `losses.classes.focal_loss`.
    """
    shape = jax.ShapeDtypeStruct(logits.shape, jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_focal", (shape, shape))
    attributes = {name: np.float32(value) for name, value in settings.items()}
    loss, slope = call(logits, is_present, **attributes)
    return loss, slope
