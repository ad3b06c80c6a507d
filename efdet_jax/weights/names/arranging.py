"""Another library's array in our layout, for a variable of ours with a known shape."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped


def as_ours(
    arrays: Sequence[Shaped[np.ndarray, "..."]], shape: tuple[int, ...]
) -> Shaped[np.ndarray, "..."] | None:
    """Returns an array that is as we have it; None where it has another shape."""
    (array,) = arrays
    return array if array.shape == shape else None


def from_keras(
    arrays: Sequence[Shaped[np.ndarray, "..."]], shape: tuple[int, ...]
) -> Shaped[np.ndarray, "..."] | None:
    """Returns [1 1 in out] as [in out], [k k c 1] as [k k c], scalars as one vector.

    Everything else is as we have it. None where it cannot be brought to `shape`.
    """
    if len(arrays) > 1 and any(array.ndim for array in arrays):
        return None
    array = np.stack(arrays) if len(arrays) > 1 else arrays[0]
    if array.ndim == 4 and len(shape) == 2 and array.shape[:2] == (1, 1):
        array = array[0, 0]
    if array.ndim == 4 and len(shape) == 3 and array.shape[3] == 1:
        array = array[..., 0]
    return as_ours([array], shape)


def from_torch(
    arrays: Sequence[Shaped[np.ndarray, "..."]], shape: tuple[int, ...]
) -> Shaped[np.ndarray, "..."] | None:
    """Returns [out in k k] as [k k in out], [c 1 k k] as [k k c], [out in 1 1] as two.

    [out in], of a dense layer, becomes [in out]. Everything else is as we have it. None
    where it cannot be brought to `shape`.
    """
    (array,) = arrays
    if array.ndim == 2:
        array = array.T
    if array.ndim == 4:
        # A depthwise kernel, [k k 1 c] by the rule for others, is [k k c 1] in Keras.
        array = array.transpose((2, 3, 0, 1) if len(shape) == 3 else (2, 3, 1, 0))
    return from_keras([array], shape)
