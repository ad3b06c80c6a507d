"""timm's classifiers, with arrays drawn by name, say what timm itself recorded."""

import functools
import gzip
import json

import jax
import numpy as np
import pytest
from oracles.recorded import GOLDENS
from oracles.torch_state import draw
from safetensors.numpy import save_file

from efdet_jax import weights
from efdet_jax.classifier_config import get_classifier_config
from efdet_jax.config import FREE
from efdet_jax.models.classifier import create


def config_of(name):
    reference = "automl" if name.startswith("tf_") else "effdet"
    config = get_classifier_config("table", 0, reference=reference)
    config.model.num_classes = 1000
    if "lite" in name:
        config.scaling.source = FREE
        config.model.backbone.lite = True
        config.model.activation = "relu6"
    return config


def drawn_file(name, folder):
    """A .safetensors file of the model's arrays."""
    records = json.loads(gzip.decompress((GOLDENS / "names.json.gz").read_bytes()))
    shapes = records[f"timm/{name}"]
    path = folder / "weights.safetensors"
    save_file({key: np.asarray(draw(key, tuple(s))) for key, s in shapes.items()}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["tf_efficientnet_b0", "efficientnet_b0", "tf_efficientnet_lite0"]
)
def test_a_classifier_says_what_timm_says(name, tmp_path):
    golden = np.load(GOLDENS / "timm.npz")
    config = config_of(name)
    image = draw("image", (1, *golden[f"{name}/size"], 3))
    variables = weights.import_weights(drawn_file(name, tmp_path), config)
    forward = jax.jit(functools.partial(create(config.model).apply, train=False))
    expected = golden[f"{name}/logits"]
    difference = np.abs(np.asarray(forward(variables, image)) - expected).max()
    # Of what tells classes apart, not of what all have in common.
    assert difference < 5e-5 * np.ptp(expected)
