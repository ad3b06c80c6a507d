import functools
import json

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles.recorded import GOLDENS
from oracles.torch_state import draw

from efdet_jax import config, models
from efdet_jax.anchors import anchor_grid
from efdet_jax.flops import multiply_adds, num_parameters
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.initial import initial_variables
from efdet_jax.models.layers import CONVS, Style
from efdet_jax.models.norms import BatchNorm
from efdet_jax.models.resnet import STAGES, Block, ResNet
from efdet_jax.weights.names import torch_resnet
from efdet_jax.weights.names.arranging import from_torch
from efdet_jax.weights.names.naming import Layout

TORCH = Style(
    norm=functools.partial(BatchNorm, momentum=0.9, epsilon=1e-5, frozen=False),
    activation=jax.nn.relu,
    padding="symmetric",
    conv=functools.partial(CONVS["full"], use_bias=False),
    conv_bias=False,
    remat=False,
)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDENS / "resnet.npz")


def abstract(module, shape):
    """The shapes of a module's variables for an image."""
    init = functools.partial(module.init, train=False)
    return jax.eval_shape(
        init, jax.random.key(0), jax.ShapeDtypeStruct(shape, "float32")
    )


def variables_of(array_of, shapes, room, stages):
    """Variables of those shapes, from arrays by torchvision's names."""

    def value(path, leaf):
        path = "/".join([room, *(key.key for key in path[1:])])
        (name,) = torch_resnet.names(path, Layout("resnet", stages, (3, 7)))
        return from_torch([array_of(name)], leaf.shape)

    return jax.tree_util.tree_map_with_path(value, shapes)


# torchvision: parameters without the classifier, and its own count of giga
# multiply-adds at 224 x 224, of which the classifier has 0.002.
PUBLISHED = {
    50: (23_508_032, 4.089),
    101: (42_500_160, 7.801),
    152: (58_143_808, 11.514),
}


def test_every_depth_is_in_this_table():
    assert set(PUBLISHED) == set(STAGES)


@pytest.mark.parametrize(
    "depth",
    [50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (101, 152))],
)
def test_sizes_and_work_are_the_published_ones(depth):
    parameters, giga = PUBLISHED[depth]
    model = ResNet(depth, "v1.5", TORCH)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = abstract(model, image.shape)
    assert num_parameters(variables["params"]) == parameters
    work = multiply_adds(functools.partial(model.apply, train=False), variables, image)
    assert abs(work / 1e9 - (giga - 0.002)) < 0.001


# Depth 14 has one block per stage and is published by nobody.
@pytest.mark.parametrize(
    "depth", [14, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (50, 101))]
)
@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_features_are_those_of_torchvision(depth, size, golden, monkeypatch):
    monkeypatch.setitem(STAGES, 14, (1, 1, 1, 1))
    model = ResNet(depth, "v1.5", TORCH)
    image = draw("image", (1, *size, 3))
    theirs = json.loads(str(golden[f"resnet{depth}/shapes"]))
    variables = variables_of(
        lambda name: draw(name, theirs[name]),
        abstract(model, image.shape),
        "backbone",
        STAGES[depth],
    )
    features = jax.jit(functools.partial(model.apply, train=False))(variables, image)
    assert set(features) == {2, 3, 4, 5}
    for level in (3, 4, 5):
        feature = features[level]
        key = f"resnet{depth}/{size[0]}x{size[1]}/c{level}"
        assert feature.shape == tuple(golden[f"{key}/shape"])
        found = np.asarray(feature).reshape(-1)[golden[f"{key}/rows"]]
        np.testing.assert_allclose(found, golden[f"{key}/values"], atol=1e-4)


def test_a_block_trains_as_that_of_torchvision(golden):
    x = draw("input", (2, 5, 6, 8))
    block = Block(filters=4, stride=2, variant="v1.5", style=TORCH)
    shapes = abstract(block, x.shape)

    def recorded(name):
        """The gradient of a parameter, or a statistic after the step."""
        kind = "after" if "running" in name else "gradient"
        return golden[f"block/{kind}/{name}"]

    variables, expected = (
        variables_of(array_of, shapes, "backbone/block_0", (1,))
        for array_of in (lambda name: draw(name, recorded(name).shape), recorded)
    )

    @jax.jit
    def step(params, x):
        def loss(params, x):
            y, updated = block.apply(
                variables | {"params": params}, x, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(y * draw("gradient", y.shape)), (y, updated)

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    (gradients, x_gradient), (y, updated) = step(variables["params"], x)
    close = functools.partial(np.testing.assert_allclose, atol=1e-5)
    close(y, golden["block/output"])
    close(x_gradient, golden["block/gradient/input"])
    jax.tree.map(close, {"params": gradients, **updated}, expected)


def test_kernels_are_drawn_as_torchvision_draws_them():
    shapes = abstract(ResNet(50, "v1.5", TORCH), (1, 32, 32, 3))["params"]
    few = {name: shapes[name] for name in ("stem", "block_3")}
    drawn = initial_variables(
        {"params": {"backbone": few}}, seed=0, foreground_prior=0.01
    )["params"]["backbone"]
    # kaiming_normal_ by fan out: 2 over the kernel's cells and outputs.
    for kernel, fan_out in (
        (drawn["stem"]["kernel"], 7 * 7 * 64),
        (drawn["block_3"]["conv_1"]["kernel"], 128),
        (drawn["block_3"]["conv_2"]["kernel"], 3 * 3 * 128),
        (drawn["block_3"]["conv_3"]["kernel"], 512),
        (drawn["block_3"]["shortcut"]["kernel"], 512),
    ):
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_out), rtol=0.03)


def test_a_whole_detector_stands_on_it():
    section = config.get_config("table", 0, reference="effdet").model
    section.num_classes = 5
    section.activation = "relu"
    section.neck.repeats = section.head.repeats = 1
    with section.unlocked():
        section.backbone = {
            "name": "resnet",
            "depth": 50,
            "variant": "v1.5",
            "batch_norm": {"momentum": 0.9, "epsilon": 1e-5},
        }
    model = models.create(section)
    size = (130, 261)
    variables = abstract_variables(model, size)
    assert num_parameters(variables["params"]["backbone"]) == PUBLISHED[50][0]
    outputs = jax.eval_shape(
        functools.partial(model.apply, train=False),
        variables,
        jax.ShapeDtypeStruct((1, *size, 3), jnp.float32),
    )
    anchors = anchor_grid(size, levels=(3, 7), **section.anchors)
    assert outputs.class_logits.shape == (1, len(anchors), 5)
    assert outputs.box_codes.shape == (1, len(anchors), 4)
