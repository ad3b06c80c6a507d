"""Sizes and work of the systems that EfficientDet is compared with."""

import functools

import jax
import pytest
from jax import numpy as jnp

from efdet_jax import assemble, comparisons, models
from efdet_jax.errors import UsageError
from efdet_jax.flops import multiply_adds, num_parameters
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.pyramid import Neck
from efdet_jax.validation import validate

# Parameters and multiply-adds, in units of a million and of a billion. Table 2 of
# EfficientDet, and Table 4 for B3 with a BiFPN.
PUBLISHED = {
    "RetinaNet-R50": (34, 97),
    "RetinaNet-R101": (53, 127),
    "ResNet-50 NAS-FPN": (60, 360),
    "EfficientNet-B3 BiFPN": (12, 24),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_detector_has_the_published_size_and_work(name):
    millions, billions = PUBLISHED[name]
    config = comparisons.DETECTORS[name]()
    validate(config)
    assembly = assemble.detector(config, 90)
    assert assembly.params / 1e6 == pytest.approx(millions, rel=0.02)
    assert assembly.multiply_adds / 1e9 == pytest.approx(billions, rel=0.03)


def test_b3_with_an_fpn_is_smaller_than_published_by_the_same_share():
    """Published: 21M and 75B. Which layers it has more of is not said."""
    assembly = assemble.detector(comparisons.get_b3_config("fpn"), 90)
    assert assembly.params / 21e6 == pytest.approx(0.946, abs=0.01)
    assert assembly.multiply_adds / 75e9 == pytest.approx(0.929, abs=0.01)


def test_retinanet_has_torchvisions_parameters_to_the_last_one():
    """Its retinanet_resnet50_fpn: 91 classes; its backbone's norms have none."""
    section = comparisons.get_retinanet_config(50).model
    section.num_classes = 91
    params = abstract_variables(models.create(section), (128, 128))["params"]
    norms = sum(
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(params["backbone"])
        if path[-2].key.endswith("_bn")
    )
    assert num_parameters(params) - norms == 34_014_999


# EfficientDet Table 5: parameters and work against the PANet's. It counts the neck
# alone, as 0.67 of the work is possible in no other way.
RATIOS = {
    "fpn": (1.0, 1.0),
    "nas_fpn": (0.71, 0.72),
    "bifpn_unweighted": (0.88, 0.67),
    "bifpn": (0.88, 0.68),
}


@pytest.fixture(scope="module")
def panet():
    return cost_of("panet")


def cost_of(name):
    config = comparisons.get_neck_config(name)
    validate(config)
    model = models.create(config.model)
    arguments = dict(model.neck)
    neck = Neck(
        arguments.pop("name"),
        **arguments,
        levels=model.levels,
        style=model._style("neck", model.norm, model.batch_norm),
    )
    side = config.image_size[0]
    features = {
        level: jax.ShapeDtypeStruct((1, side >> level, side >> level, c), jnp.float32)
        for level, c in ((3, 48), (4, 136), (5, 384))
    }
    init = functools.partial(neck.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), features)
    work = multiply_adds(
        functools.partial(neck.apply, train=False), variables, features
    )
    return num_parameters(variables["params"]), work


@pytest.mark.parametrize("name", RATIOS)
def test_a_neck_costs_the_published_share_of_the_panet(name, panet):
    found = [ours / base for ours, base in zip(cost_of(name), panet, strict=True)]
    assert found == pytest.approx(RATIOS[name], rel=0.05)


@pytest.mark.parametrize("name", comparisons.NECKS)
def test_every_row_of_the_comparison_is_valid(name):
    validate(comparisons.get_neck_config(name))


@pytest.mark.parametrize("name", ["sum", "softmax", "fast", "unbounded"])
def test_every_fusion_is_valid(name):
    validate(comparisons.get_fusion_config(name, 0))


def test_a_neck_or_fusion_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"neck 'fpm' is not known.* bifpn"):
        comparisons.get_neck_config("fpm")
    with pytest.raises(UsageError, match=r"fusion=product is not known.* softmax"):
        validate(comparisons.get_fusion_config("product", 0))


def test_nas_fpn_for_other_levels_is_refused():
    config = comparisons.get_nas_fpn_config()
    config.model.levels = (3, 6)
    with pytest.raises(UsageError, match=r"neck\.name=nas_fpn: .* levels 3 to 7"):
        validate(config)
