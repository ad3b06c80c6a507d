"""Names and shapes of torchvision's ResNets, as it made them, find ours."""

import functools
import json

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles.recorded import GOLDENS
from style import STYLE

from efdet_jax.models.resnet import STAGES, ResNet
from efdet_jax.weights.names import families
from efdet_jax.weights.names.naming import Layout


@functools.cache
def file_of(depth):
    """Arrays of the recorded shapes, which take no memory."""
    shapes = json.loads(str(np.load(GOLDENS / "resnet.npz")[f"resnet{depth}/shapes"]))
    zero = np.zeros((), np.float32)
    return {name: np.broadcast_to(zero, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("depth", [50, 101])
def test_every_variable_finds_its_array_and_only_the_classifier_is_left(depth):
    family = families.recognise(file_of(depth))
    assert family is not None
    arrays = family.tidy(file_of(depth))
    init = functools.partial(ResNet(depth, "v1.5", STYLE).init, train=False)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    used = []
    for keys, leaf in jax.tree_util.tree_leaves_with_path(
        jax.eval_shape(init, jax.random.key(0), image)
    ):
        path = "/".join(["backbone", *(key.key for key in keys[1:])])
        (name,) = family.names(path, Layout("resnet", STAGES[depth], (3, 7)))
        array = family.arrange([arrays[name]], leaf.shape)
        assert array is not None, path
        used.append(name)
    left = set(arrays) - set(used)
    assert len(used) == len(set(used))
    assert left == {name for name in arrays if family.is_spare(name)}
    assert left == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("depth", [50, 101])
def test_a_file_tells_its_depth(depth):
    arrays = file_of(depth)
    family = families.recognise(arrays)
    assert families.guess(family.tidy(arrays), family) == f"ResNet-{depth}"


def test_a_wider_network_of_the_same_names_is_none_of_these():
    arrays = file_of(50) | {"layer1.0.bn1.weight": np.ones(128)}
    family = families.recognise(arrays)
    assert families.guess(family.tidy(arrays), family) is None


def test_a_network_of_basic_blocks_is_not_recognised():
    arrays = {name: a for name, a in file_of(50).items() if "conv3" not in name}
    assert families.recognise(arrays) is None


def test_another_backbone_has_no_names_here():
    layout = Layout("efficientnet", (1, 2, 2, 3, 3, 4, 1), (3, 7))
    family = families.recognise(file_of(50))
    assert family.names("backbone/stem/kernel", layout) == ()
