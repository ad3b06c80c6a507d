"""The programs of docs/export.md, run as they stand there."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_detector

from efdet_jax.exporting.formats import FORMATS
from efdet_jax.exporting.metadata import metadata

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "export.md"
PLACING, *PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
OURS = """
import sys
heavy = {"efdet_jax", "flax", "tensorflow"}
print({name.split(".")[0] for name in sys.modules} & heavy)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "source"), zip(FORMATS, PROGRAMS, strict=True), ids=FORMATS
)
def test_the_program_of_a_format_runs_without_this_package(name, source, exported):
    assert len(source.splitlines()) <= 11
    ran = subprocess.run(
        [sys.executable, "-c", source + OURS],
        cwd=exported(name).path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found, packages = ran.stdout.splitlines()
    assert found.split()[0] in tiny_detector.LABELS.names
    assert "efdet_jax" not in packages
    assert name in ("saved_model", "tflite") or packages == "set()"


def test_the_page_places_an_image_as_evaluation_does():
    from efdet_jax.data import transforms

    config = tiny_detector.config()
    about = metadata(config, tiny_detector.LABELS)
    namespace = {}
    exec(PLACING, namespace)
    image = np.random.default_rng(0).integers(0, 256, (37, 91, 3), np.uint8)
    found, scale = namespace["placed"](image, about)
    placement = transforms.place((37, 91), output_size=(64, 64), resize="letterbox")
    expected = transforms.place_image(
        image,
        placement,
        output_size=(64, 64),
        pad_colour=tuple(about["placement"]["pad_colour"]),
    )
    np.testing.assert_array_equal(found, expected)
    assert scale == placement.scale[0]
