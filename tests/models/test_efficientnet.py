import functools

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp
from style import STYLE

from efdet_jax import scaling
from efdet_jax.flops import num_parameters
from efdet_jax.models.efficientnet import (
    STAGES,
    Block,
    EfficientNet,
    block_plan,
    round_filters,
)

PUBLISHED = {  # blocks, channels of C3 C4 C5
    "b0": (16, (40, 112, 320)),
    "b1": (23, (40, 112, 320)),
    "b2": (23, (48, 120, 352)),
    "b3": (26, (48, 136, 384)),
    "b4": (32, (56, 160, 448)),
    "b5": (39, (64, 176, 512)),
    "b6": (45, (72, 200, 576)),
    "b7": (55, (80, 224, 640)),
}


def test_every_published_backbone_is_in_this_table():
    assert set(PUBLISHED) == set(scaling.BACKBONES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_blocks_and_channels_are_the_published_ones(name):
    blocks, channels = PUBLISHED[name]
    size = scaling.BACKBONES[name]
    plan = block_plan(size.width, size.depth, lite=False)
    assert len(plan) == blocks
    last = {level: stage.filters for stage, level in plan}
    assert tuple(last[level] for level in (3, 4, 5)) == channels


@pytest.mark.parametrize(
    ("filters", "width", "rounded"),
    [
        (32, 1.0, 32),
        (32, 1.1, 32),  # 35.2: down, for it takes away 9%
        (16, 1.1, 16),
        (24, 1.2, 32),  # 28.8: halves go up
        (40, 1.8, 72),
        (32, 0.25, 8),
        (16, 0.1, 8),  # never less than 8
        (12, 1.2, 16),  # 14.4 → 16
        (32, 0.6, 24),  # 19.2: to 16 would take away over 10%
    ],
)
def test_filters_are_rounded_as_published(filters, width, rounded):
    assert round_filters(filters, width) == rounded


def test_only_the_first_block_of_a_stage_strides():
    strides = [stage.stride for stage, _ in block_plan(1.0, 2.0, lite=False)]
    expected = []
    for stage in STAGES:
        expected += [stage.stride] + [1] * (2 * stage.repeats - 1)
    assert strides == expected


def survival_probs(width, depth, survival_prob, *, train):
    """The chance of survival of every block, as its module has it."""
    model = EfficientNet(width, depth, False, survival_prob, STYLE)
    found = []

    def spy(call, args, kwargs, context):
        if isinstance(context.module, Block):
            found.append(context.module.survival_prob)
        return call(*args, **kwargs)

    rngs = {"params": jax.random.key(0), "drop_path": jax.random.key(1)}
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    with nn.intercept_methods(spy):
        jax.eval_shape(functools.partial(model.init, train=train), rngs, image)
    return found


def test_survival_falls_linearly_from_1_with_the_block():
    blocks = len(block_plan(0.25, 1.0, lite=False))
    expected = [1 - 0.2 * index / blocks for index in range(blocks)]
    np.testing.assert_allclose(survival_probs(0.25, 1.0, 0.8, train=True), expected)


@pytest.mark.parametrize("size", [(64, 96), (33, 65)])
def test_features_have_strides_4_to_32(size):
    model = EfficientNet(0.25, 0.3, False, 1.0, STYLE)
    image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    features, _ = jax.eval_shape(
        functools.partial(model.init_with_output, train=False),
        jax.random.key(0),
        image,
    )
    cells = {
        level: tuple(-(-side // 2**level) for side in size) for level in (2, 3, 4, 5)
    }
    assert {level: x.shape[1:3] for level, x in features.items()} == cells


def test_parameters_of_b0_are_the_published_ones():
    model = EfficientNet(1.0, 1.0, False, 1.0, STYLE)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), image)
    assert num_parameters(shapes["params"]) == 3_595_388
