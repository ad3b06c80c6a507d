"""effdet's detectors, with arrays drawn by name, say what effdet itself recorded."""

import gzip
import json

import numpy as np
import pytest
from measures import forward
from oracles.recorded import GOLDENS
from oracles.torch_state import draw
from safetensors.numpy import save_file

from efdet_jax.recipes import get_effdet_config

NAMES = ("tf_efficientdet_d0", "efficientdet_d0", "tf_efficientdet_lite0")


def drawn_file(name, folder):
    """A .safetensors file of the model's arrays."""
    records = json.loads(gzip.decompress((GOLDENS / "names.json.gz").read_bytes()))
    shapes = records[f"effdet/{name}"]
    path = folder / "weights.safetensors"
    arrays = {key: np.asarray(draw(key, tuple(s))) for key, s in shapes.items()}
    save_file(arrays, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_detector_says_what_effdet_says(name, tmp_path):
    golden = np.load(GOLDENS / "effdet.npz")
    config = get_effdet_config(name)
    image = draw("image", (1, *golden[f"{name}/size"], 3))
    outputs, parts = forward.run(config, drawn_file(name, tmp_path), image)
    found = {f"C{level}": x for level, x in parts["backbone"].items() if level > 2}
    found |= {"logits": outputs.class_logits, "codes": outputs.box_codes}
    for what, array in found.items():
        np.testing.assert_array_equal(array.shape, golden[f"{name}/{what}/shape"])
        values = golden[f"{name}/{what}/values"]
        rows = golden[f"{name}/{what}/rows"]
        difference = np.abs(np.asarray(array).reshape(-1)[rows] - values).max()
        assert difference < 1e-5 * np.abs(values).max(), what
