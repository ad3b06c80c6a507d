"""TensorFlow's checkpoints, by TensorFlow's own reader."""

import math
import os
import pathlib
import re
from collections.abc import Collection

import numpy as np
from jaxtyping import Shaped

from efdet_jax.errors import UsageError
from efdet_jax.regular import read_regular

_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_BOOKKEEPING = {"optimizer", ".OPTIMIZER_SLOT", "save_counter"}
"""Parts of paths of objects that are not the model's."""

_LATEST = re.compile(r'^model_checkpoint_path:\s*"([^"\n]+)"', re.MULTILINE)
_MOST_TEXT = 2**20
"""Bytes of the file `checkpoint`."""


def prefix_in(folder: pathlib.Path) -> pathlib.Path:
    """Finds the one checkpoint of a folder, or the one that `checkpoint` names.

    What that file says of other folders is ignored: published ones name folders of the
    machine on which they were written.

    Raises:
      UsageError: There is none, or several.
    """
    prefixes = sorted(
        path.with_suffix("") for path in folder.glob("[!.]*.index") if path.is_file()
    )
    latest = _latest(folder / "checkpoint")
    prefixes = [p for p in prefixes if p.name == latest] or prefixes
    if not prefixes:
        raise UsageError(
            f"{folder}: is a folder without a TensorFlow checkpoint (no .index file):"
            " give the weight file itself"
        )
    if len(prefixes) > 1:
        names = ", ".join(prefix.name for prefix in prefixes)
        raise UsageError(
            f"{folder}: holds several checkpoints ({names}): give one of them, as"
            f" {prefixes[-1]}"
        )
    return prefixes[0]


def _latest(path: pathlib.Path) -> str:
    """Returns the name of the checkpoint that a file names, "" if there is no file."""
    try:
        text = read_regular(path, most=_MOST_TEXT).decode()
    except FileNotFoundError:
        return ""
    found = _LATEST.search(text)
    # Windows' separators too.
    return pathlib.PureWindowsPath(found[1]).name if found else ""


def read(prefix: pathlib.Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Returns the numeric variables of a checkpoint.

    Of a name-based one by their names; of an object-based one those of the model, by
    the path of the object, without those of its optimizer.

    Args:
      prefix: Path of PREFIX.index without that suffix.

    Raises:
      UsageError: The files with the numbers are missing.
      Exception: The checkpoint is damaged.
    """
    shards = [
        path
        for path in prefix.parent.iterdir()
        if path.name.startswith(f"{prefix.name}.data-") and path.is_file()
    ]
    if not shards:
        raise UsageError(
            f"{prefix}.index: the numbers are missing ({prefix.name}.data-…): put them"
            " into the same folder"
        )
    # Else it announces its convolutions and the processor, neither of which it needs.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    shapes, dtypes = (
        reader.get_variable_to_shape_map(),
        reader.get_variable_to_dtype_map(),
    )
    claimed = sum(math.prod(shape) * dtypes[key].size for key, shape in shapes.items())
    if claimed > sum(shard.stat().st_size for shard in shards):
        raise ValueError("its index claims more numbers than its data files have")
    return {
        name: np.asarray(reader.get_tensor(key))
        for name, key in _variables(shapes).items()
        if dtypes[key] != tf.string
    }


def _variables(keys: Collection[str]) -> dict[str, str]:
    """Returns {name of a variable: the key of what to read for it}."""
    if _OBJECTS in keys:
        return {
            key.removesuffix(_VALUE): key
            for key in keys
            if key.endswith(_VALUE) and not _BOOKKEEPING.intersection(key.split("/"))
        }
    return {key: key for key in keys}
