"""Programs for machines that are not here: nothing in them may be unknown there."""

import re

import jax
import numpy as np
import pytest
import tiny

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.evaluate import make_predict_step
from efdet_jax.kernels import library
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import Batch
from efdet_jax.training import make_training

# What XLA itself brings for the platform, or resolves before it gets there.
KNOWN = {"Sharding", "TopK", "mhlo.topk", "chlo.top_k", "cu_threefry2x32_ffi"}


def programs(dtype):
    """Yields a training step and a prediction, with what they are called with."""
    config = tiny.get_config()
    config.model.dtype = dtype
    assembly = assemble.detector(config, 2)
    variables = initial_variables(assembly.variables, seed=0, foreground_prior=0.01)
    mesh = meshes.make_mesh(1)
    batch = Batch(
        image=np.zeros((8, 64, 64, 3), np.uint8),
        boxes=np.zeros((8, config.data.max_boxes, 4), np.float32),
        classes=np.zeros((8, config.data.max_boxes), np.int32),
        image_index=np.arange(8, dtype=np.int32),
        scale=np.ones((8, 2), np.float32),
    )
    training = make_training(config, assembly, variables, mesh)
    yield training.step, (training.state, batch)
    step = make_predict_step(
        assembly.model,
        assembly.anchors,
        mesh,
        image_size=tuple(config.image_size),
        normalisation=config.normalise.to_dict(),
        **config.postprocess.to_dict(),
    )
    yield step, (variables, batch)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("platform", ["tpu", "cuda", "rocm"])
def test_training_and_prediction_are_lowered_for_accelerators(platform, dtype):
    with library.set_aside():
        for program, arguments in programs(dtype):
            lowered = program.trace(*arguments).lower(lowering_platforms=(platform,))
            text = lowered.as_text()
            assert set(re.findall(r"custom_call @([\w.$]+)", text)) <= KNOWN
            # Depthwise convolutions are XLA's own there.
            groups = re.findall(r"feature_group_count = (\d+)", text)
            assert any(int(count) > 1 for count in groups)
            if dtype == "bfloat16":
                convolutions = re.findall(r"stablehlo.convolution.*", text)
                assert all("xbf16>" in line for line in convolutions)
    assert jax.default_backend() == "cpu"
