"""Files of safetensors: named arrays and named texts, with nothing to run."""

import json
import pathlib

import numpy as np
import safetensors
from jax import numpy as jnp
from jaxtyping import Shaped

from efdet_jax.errors import UsageError

_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    # The library's own NumPy front knows these in some of its versions only.
    "BF16": np.dtype(jnp.bfloat16),
    "F8_E4M3": np.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": np.dtype(jnp.float8_e5m2),
}


def read(
    path: pathlib.Path,
) -> tuple[dict[str, Shaped[np.ndarray, "..."]], dict[str, str]]:
    """Returns the arrays by name, and the file's metadata.

    Raises:
      UsageError: An array has a type that is not in `_DTYPES`.
      Exception: The file is damaged.
    """
    content = path.read_bytes()
    arrays = {}
    for name, tensor in safetensors.deserialize(content):
        if tensor["dtype"] not in _DTYPES:
            raise UsageError(
                f"{path}: its tensor {name[:100]!r} has the type {tensor['dtype']},"
                " which is not read: save it as F32"
            )
        array = np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]])
        arrays[name] = array.reshape(tensor["shape"])
    header_end = 8 + int.from_bytes(content[:8], "little")
    return arrays, json.loads(content[8:header_end]).get("__metadata__", {})
