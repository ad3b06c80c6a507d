import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from style import STYLE

from efdet_jax import validation
from efdet_jax.models import fusion, necks, pyramid

TABLES = {
    "fpn": """
        p7_td 7 p7_in -
        p6_td 6 p6_in p7_td -
        p5_td 5 p5_in p6_td -
        p4_td 4 p4_in p5_td -
        p3_td 3 p3_in p4_td -
        p3_out 3 p3_td
        p4_out 4 p4_td
        p5_out 5 p5_td
        p6_out 6 p6_td
        p7_out 7 p7_td
        """,
    "panet": """
        p7_td 7 p7_in
        p6_td 6 p6_in p7_td
        p5_td 5 p5_in p6_td
        p4_td 4 p4_in p5_td
        p3_td 3 p3_in p4_td
        p3_out 3 p3_td
        p4_out 4 p4_td p3_out
        p5_out 5 p5_td p4_out
        p6_out 6 p6_td p5_out
        p7_out 7 p7_td p6_out
        """,
    "bifpn": """
        p6_td 6 p6_in p7_in
        p5_td 5 p5_in p6_td
        p4_td 4 p4_in p5_td
        p3_out 3 p3_in p4_td
        p4_out 4 p4_in p4_td p3_out
        p5_out 5 p5_in p5_td p4_out
        p6_out 6 p6_in p6_td p5_out
        p7_out 7 p7_in p6_out
        """,
    "bifpn_without_edge": """
        p6_td 6 p6_in p7_in
        p5_td 5 p5_in p6_td
        p4_td 4 p4_in p5_td
        p3_out 3 p3_in p4_td
        p4_out 4 p4_td p3_out
        p5_out 5 p5_td p4_out
        p6_out 6 p6_td p5_out
        p7_out 7 p7_in p6_out
        """,
    "bifpn_with_ends": """
        p7_td 7 p7_in
        p6_td 6 p6_in p7_td
        p5_td 5 p5_in p6_td
        p4_td 4 p4_in p5_td
        p3_td 3 p3_in p4_td
        p3_out 3 p3_td
        p4_out 4 p4_in p4_td p3_out
        p5_out 5 p5_in p5_td p4_out
        p6_out 6 p6_in p6_td p5_out
        p7_out 7 p7_td p6_out
        """,
    "quad_fpn": """
        p6_td 6 p6_in p7_in
        p5_td 5 p5_in p6_td
        p4_td 4 p4_in p5_td
        p3_upright 3 p3_in p4_td
        p4_upright 4 p4_in p4_td p3_upright
        p5_upright 5 p5_in p5_td p4_upright
        p6_upright 6 p6_in p6_td p5_upright
        p7_upright 7 p7_in p6_upright
        p4_bu 4 p4_in p3_in
        p5_bu 5 p5_in p4_bu
        p6_bu 6 p6_in p5_bu
        p7_inverted 7 p7_in p6_bu
        p6_inverted 6 p6_in p6_bu p7_inverted
        p5_inverted 5 p5_in p5_bu p6_inverted
        p4_inverted 4 p4_in p4_bu p5_inverted
        p3_inverted 3 p3_in p4_inverted
        p7_out 7 p7_upright p7_inverted
        p6_out 6 p6_upright p6_inverted
        p5_out 5 p5_upright p5_inverted
        p4_out 4 p4_upright p4_inverted
        p3_out 3 p3_upright p3_inverted
        """,
    "dense_fpn": """
        p3_out 3 p3_in p4_in p5_in p6_in p7_in
        p4_out 4 p3_in p4_in p5_in p6_in p7_in
        p5_out 5 p3_in p4_in p5_in p6_in p7_in
        p6_out 6 p3_in p4_in p5_in p6_in p7_in
        p7_out 7 p3_in p4_in p5_in p6_in p7_in
        """,
    "nas_fpn": """
        p4_first 4 p6_in p4_in
        p4_second 4 p4_in p4_first
        p3_out 3 p3_in p4_second
        p4_out 4 p4_second p3_out
        p5_out 5 p4_out p3_out p5_in
        p7_out 7 p5_out p4_second p7_in
        p6_out 6 p7_out p5_out
        """,
}
"""Every neck over the levels 3 to 7, written out from its figure: name, level, inputs,
and "-" where no convolution follows."""


def test_every_neck_is_in_this_table_and_in_the_configs_choices():
    assert set(TABLES) == set(necks.NECKS)
    assert set(validation.CHOICES["model.neck.name"]) == set(necks.NECKS)
    assert set(validation.CHOICES["model.neck.fusion"]) == set(fusion.CHOICES)


@pytest.mark.parametrize("name", TABLES)
def test_nodes_are_those_of_the_figure(name):
    rows = [line.split() for line in TABLES[name].strip().splitlines()]
    found = [
        [node.name, str(node.level), *node.inputs] + ["-"] * (not node.has_conv)
        for node in necks.NECKS[name](3, 7)
    ]
    assert found == rows


@pytest.mark.parametrize("name", sorted(set(necks.NECKS) - {"nas_fpn"}))
@pytest.mark.parametrize("levels", [(3, 5), (3, 8), (2, 6)])
def test_every_node_uses_only_what_came_before_and_every_level_has_an_output(
    name, levels
):
    all_levels = range(levels[0], levels[1] + 1)
    there = {f"p{level}_in" for level in all_levels}
    for node in necks.NECKS[name](*levels):
        assert set(node.inputs) <= there
        assert node.name not in there
        there.add(node.name)
    assert {f"p{level}_out" for level in all_levels} <= there


IMAGES = [jnp.full((1, 2, 2, 1), value) for value in (1.0, 10.0, 100.0)]


@pytest.mark.parametrize(
    ("weighting", "weights", "expected"),
    [
        ("fast", [0.5, -3.0, 1.5], (0.5 * 1 + 1.5 * 100) / (2.0 + 1e-4)),
        ("softmax", [0.0, np.log(2), 0.0], (1 + 2 * 10 + 100) / 4),
        ("unbounded", [0.5, -3.0, 1.5], 0.5 * 1 - 3 * 10 + 1.5 * 100),
    ],
)
def test_weighted_fusion_is_its_equation(weighting, weights, expected):
    fused = fusion.fuse_weighted(IMAGES, jnp.asarray(weights), weighting)
    np.testing.assert_allclose(fused, np.full((1, 2, 2, 1), expected), rtol=1e-6)


def test_plain_fusion_is_the_sum():
    np.testing.assert_array_equal(fusion.fuse_sum(IMAGES), np.full((1, 2, 2, 1), 111.0))


def test_attention_gates_the_second_by_the_largest_cell_of_the_first():
    coarse = jnp.asarray([[[[0.0], [-1.0]], [[2.0], [1.0]]]])
    fused = fusion.fuse_attention([coarse, IMAGES[1], IMAGES[2]])
    gate = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(fused, coarse + 10 * gate + 100, rtol=1e-6)


def neck(name, *, width=8, repeats=1, fusion="fast", levels=(3, 7), coarse="pool"):
    return pyramid.Neck(name, width, repeats, fusion, coarse, True, levels, STYLE)


def shapes_of(neck, channels, size):
    features = {
        level: jax.ShapeDtypeStruct(
            (1, -(-size[0] // 2**level), -(-size[1] // 2**level), c), jnp.float32
        )
        for level, c in channels.items()
    }
    return jax.eval_shape(
        functools.partial(neck.init_with_output, train=False),
        jax.random.key(0),
        features,
    )


@pytest.mark.parametrize("name", fusion.CHOICES)
def test_each_edge_with_other_channels_has_a_lateral_of_its_own(name):
    features, variables = shapes_of(
        neck("bifpn", repeats=2, fusion=name), {3: 4, 4: 6, 5: 8}, (128, 128)
    )
    cells = variables["params"]
    laterals = {name for name in cells["cell_0"] if "_from_" in name}
    # P5 has the neck's channels already.
    assert laterals == {
        f"{edge}_{layer}"
        for edge in ("p3_out_from_p3_in", "p4_td_from_p4_in", "p4_out_from_p4_in")
        for layer in ("conv", "bn")
    }
    assert not [name for name in cells["cell_1"] if "_from_" in name]
    weights = [name for name in cells["cell_0"] if name.endswith("_weights")]
    assert len(weights) == (0 if name == "sum" else 8)
    assert {level: x.shape for level, x in features.items()} == {
        level: (1, 128 >> level, 128 >> level, 8) for level in range(3, 8)
    }


def test_coarser_levels_are_halved_upwards_from_c5():
    features, variables = shapes_of(
        neck("bifpn", levels=(3, 8)), {3: 4, 4: 4, 5: 12}, (257, 330)
    )
    assert {level: x.shape[1:3] for level, x in features.items()} == {
        3: (33, 42),
        4: (17, 21),
        5: (9, 11),
        6: (5, 6),
        7: (3, 3),
        8: (2, 2),
    }
    # Only the first new level has other channels to bring to the neck's.
    assert "p6_conv" in variables["params"]
    assert "p7_conv" not in variables["params"]


@pytest.mark.parametrize(("coarse", "channels"), [("conv_c5", 12), ("conv_p5", 8)])
def test_coarser_levels_by_convolution_come_after_the_cells(coarse, channels):
    features, variables = shapes_of(
        neck("fpn", coarse=coarse), {3: 4, 4: 4, 5: 12}, (257, 330)
    )
    assert [features[level].shape[1:] for level in (5, 6, 7)] == [
        (9, 11, 8),
        (5, 6, 8),
        (3, 3, 8),
    ]
    params = variables["params"]
    assert params["p6_conv"]["kernel"].shape == (3, 3, channels, 8)
    assert params["p7_conv"]["kernel"].shape == (3, 3, 8, 8)
    assert set(params) == {"cell_0", "p6_conv", "p7_conv"}
    assert not [name for name in params["cell_0"] if "p6" in name]


@pytest.mark.parametrize("name", necks.NECKS)
def test_every_neck_runs_on_odd_sizes(name):
    sizes = {3: (33, 42), 4: (17, 21), 5: (9, 11)}
    rng = np.random.default_rng(0)
    inputs = {
        level: jnp.asarray(rng.normal(size=(1, *size, 4)), jnp.float32)
        for level, size in sizes.items()
    }
    module = neck(name, repeats=2)
    variables = jax.tree.map(
        lambda s: jnp.asarray(rng.uniform(0.1, 1.0, s.shape), s.dtype),
        jax.eval_shape(
            functools.partial(module.init, train=False), jax.random.key(0), inputs
        ),
    )
    outputs = module.apply(variables, inputs, train=False)
    assert {level: x.shape[1:] for level, x in outputs.items()} == {
        3: (33, 42, 8),
        4: (17, 21, 8),
        5: (9, 11, 8),
        6: (5, 6, 8),
        7: (3, 3, 8),
    }
    assert all(np.isfinite(x).all() for x in outputs.values())
