"""The formats in which a detector can be written, by name."""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from efdet_jax.errors import UsageError
from efdet_jax.exporting import onnx_file, stablehlo, tensorflow_files
from efdet_jax.exporting.program import Detect, Program


class Format(NamedTuple):
    """How a detector is written, and run again."""

    file: str
    """Name of the file or folder that holds all of it."""
    packages: tuple[str, ...]
    """What has to be installed besides this package's own dependencies."""
    write: Callable[[Program, pathlib.Path, dict[str, Any]], None]
    """(detector, path, metadata) → the file."""
    load: Callable[[pathlib.Path], Detect]


FORMATS: Mapping[str, Format] = {
    "stablehlo": Format("model.efdet.zip", (), stablehlo.write, stablehlo.load),
    "onnx": Format(
        "model.onnx",
        ("jax2onnx", "onnx", "onnxruntime"),
        onnx_file.write,
        onnx_file.load,
    ),
    "saved_model": Format(
        "saved_model",
        (),
        tensorflow_files.write_saved_model,
        tensorflow_files.load_saved_model,
    ),
    "tflite": Format(
        "model.tflite", (), tensorflow_files.write_tflite, tensorflow_files.load_tflite
    ),
}


def chosen(names: Sequence[str]) -> dict[str, Format]:
    """Returns the formats of these names, in the table's order.

    Raises:
      UsageError: there is no such format, none is named, or a package is missing.
    """
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UsageError(
            f"--formats={','.join(names)} names {', '.join(unknown) or 'none'}: choose "
            f"from {', '.join(FORMATS)}"
        )
    rows = {name: row for name, row in FORMATS.items() if name in names}
    for name, row in rows.items():
        missing = [p for p in row.packages if importlib.util.find_spec(p) is None]
        if missing:
            raise UsageError(
                f"--formats={name} needs {', '.join(missing)}: pip install "
                "'efdet-jax[export]'"
            )
    return rows
