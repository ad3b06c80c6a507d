"""Writing a detector as StableHLO: one zip file, for JAX on any machine."""

import json
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import jax
from jax import export
from jax import numpy as jnp

from efdet_jax.exporting.bundle import FUNCTION, METADATA, read_bundle
from efdet_jax.exporting.program import Detect, Program
from efdet_jax.kernels import library
from efdet_jax.structures import Detections

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(program: Program, path: pathlib.Path, metadata: dict[str, Any]) -> None:
    """Writes a bundle that `bundle.read_bundle` reads; replaces the file.

    Weights are constants of the function, so that one call is all that it takes.
    """
    with library.set_aside():
        exported = lowered(program, batch="b", platforms=PLATFORMS)
    # Weights do not get smaller.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(METADATA, json.dumps(metadata, indent=2) + "\n")
        archive.writestr(FUNCTION, bytes(exported.serialize()))


def load(path: pathlib.Path) -> Detect:
    """Returns the detector of a bundle."""
    bundle = read_bundle(path)
    return lambda images: Detections(**bundle.detect(images))


def lowered(
    program: Program, *, batch: str, platforms: Sequence[str]
) -> export.Exported:
    """Returns a function of images that gives a dict of the fields of `Detections`.

    Args:
      program: the detector.
      batch: how many images it takes: a number, or a name for any number.
      platforms: for which it is.
    """
    (count,) = export.symbolic_shape(batch)
    images = jax.ShapeDtypeStruct((count, *program.image_size, 3), jnp.uint8)

    def detect(images: jax.Array) -> dict[str, jax.Array]:
        return program.detect(images)._asdict()

    return export.export(jax.jit(detect), platforms=platforms)(images)
