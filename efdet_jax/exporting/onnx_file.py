"""Writing a detector as ONNX, and running it with ONNX Runtime."""

import json
import pathlib
from typing import Any

import jax
import numpy as np

from efdet_jax.exporting.program import Detect, Program
from efdet_jax.kernels import library
from efdet_jax.structures import Detections

INPUT = "images"
METADATA = "efdet_jax"
"""Key of the metadata in the file, as JSON."""
_ONNX = library.Compiler(
    has_platforms=False, has_top_k=True, has_sort=True, flattens_images=True
)


def write(program: Program, path: pathlib.Path, metadata: dict[str, Any]) -> None:
    """Writes one file with weights, post-processing and metadata."""
    import onnx
    from jax2onnx import to_onnx

    images = jax.ShapeDtypeStruct(("b", *program.image_size, 3), np.uint8)
    with library.set_aside(_ONNX):
        model = to_onnx(
            lambda images: tuple(program.detect(images)),
            [images],
            model_name="detector",
            input_names=[INPUT],
            output_names=list(Detections._fields),
        )
    onnx.helper.set_model_props(model, {METADATA: json.dumps(metadata)})
    onnx.save(model, path)


def load(path: pathlib.Path) -> Detect:
    """Returns the detector of a file, run on CPU."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    names = list(Detections._fields)
    return lambda images: Detections(*session.run(names, {INPUT: np.asarray(images)}))
