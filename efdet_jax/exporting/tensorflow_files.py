"""Writing a detector as a SavedModel and as TFLite, and running both."""

import json
import pathlib
import shutil
import zipfile
from typing import Any

import numpy as np
from jax import export

from efdet_jax.exporting.bundle import METADATA
from efdet_jax.exporting.program import Detect, Program
from efdet_jax.exporting.stablehlo import PLATFORMS, lowered
from efdet_jax.kernels import library
from efdet_jax.structures import Detections

_INPUT = "images"
_VERSION = "1.3.0"
"""Of the StableHLO inside: jax2tf writes that of a month ago, which releases of
TensorFlow, being older, do not read."""

_TENSORFLOW = library.Compiler(
    has_platforms=True, has_top_k=False, has_sort=True, flattens_images=True
)
_TFLITE = library.Compiler(
    has_platforms=False, has_top_k=True, has_sort=False, flattens_images=False
)


def write_saved_model(
    program: Program, path: pathlib.Path, metadata: dict[str, Any]
) -> None:
    """Writes a folder whose default signature takes any number of images at once."""
    with library.set_aside(_TENSORFLOW):
        module = _module(lowered(program, batch="b", platforms=PLATFORMS))
    shutil.rmtree(path, ignore_errors=True)
    _tensorflow().saved_model.save(module, str(path), signatures=module.detect)
    (path / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")


def load_saved_model(path: pathlib.Path) -> Detect:
    """Returns the default signature of a folder."""
    tf = _tensorflow()
    detect = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda images: Detections(**detect(**{_INPUT: tf.constant(images)}))


def write_tflite(
    program: Program, path: pathlib.Path, metadata: dict[str, Any]
) -> None:
    """Writes one file, for one image at a time; metadata are a zip file at its end.

    That is where TFLite's own tools put what belongs to a model, too.
    """
    with library.set_aside(_TFLITE):
        module = _module(lowered(program, batch="1", platforms=["cpu"]))
    converter = _tensorflow().lite.TFLiteConverter.from_concrete_functions(
        [module.detect.get_concrete_function()], module
    )
    path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA, json.dumps(metadata, indent=2) + "\n")


def load_tflite(path: pathlib.Path) -> Detect:
    """Returns the detector of a file, run by TensorFlow's own interpreter."""
    detect = _tensorflow().lite.Interpreter(str(path)).get_signature_runner()
    return lambda images: Detections(**detect(**{_INPUT: np.asarray(images)}))


def _module(exported: export.Exported) -> Any:
    """Returns a `tf.Module` whose function `detect` is a program in StableHLO."""
    # These load MLIR and TensorFlow: seconds.
    from jax.extend.mlir.dialects.stablehlo import serialize_portable_artifact_str
    from tensorflow.compiler.tf2xla.python import xla

    tf = _tensorflow()
    images, *outputs = (
        tf.TensorSpec(
            [size if isinstance(size, int) else None for size in array.shape],
            array.dtype.name,
        )
        for array in (*exported.in_avals, *exported.out_avals)
    )
    program = {
        "module": serialize_portable_artifact_str(exported.mlir_module(), _VERSION),
        "version": exported.calling_convention_version,
        "platforms": [platform.upper() for platform in exported.platforms],
        "Sout": [output.shape for output in outputs],
        "Tout": [output.dtype for output in outputs],
    }

    def detect(images: Any) -> dict[str, Any]:
        found = xla.call_module([images], **program)
        # In the order of the keys, as JAX flattens a dict.
        return dict(zip(sorted(Detections._fields), found, strict=True))

    module = tf.Module()
    images = tf.TensorSpec(images.shape, images.dtype, name=_INPUT)
    module.detect = tf.function(detect, autograph=False, input_signature=[images])
    return module


def _tensorflow() -> Any:
    """Loads TensorFlow, which takes seconds; its types say little of what it has."""
    import tensorflow

    return tensorflow
