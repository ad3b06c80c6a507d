import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from style import STYLE

from efdet_jax import validation
from efdet_jax.models import necks

TABLES = {
    "bifpn": (
        ("p6_td", 6, ("p6_in", "p7_in")),
        ("p5_td", 5, ("p5_in", "p6_td")),
        ("p4_td", 4, ("p4_in", "p5_td")),
        ("p3_out", 3, ("p3_in", "p4_td")),
        ("p4_out", 4, ("p4_in", "p4_td", "p3_out")),
        ("p5_out", 5, ("p5_in", "p5_td", "p4_out")),
        ("p6_out", 6, ("p6_in", "p6_td", "p5_out")),
        ("p7_out", 7, ("p7_in", "p6_out")),
    )
}
"""Every neck over the levels 3 to 7, written out from its paper's figure."""


def test_every_neck_is_in_this_table_and_in_the_configs_choices():
    assert set(TABLES) == set(necks.NECKS)
    assert set(validation.CHOICES["model.neck.name"]) == set(necks.NECKS)
    assert set(validation.CHOICES["model.neck.fusion"]) == set(necks.FUSIONS)


@pytest.mark.parametrize("name", TABLES)
def test_nodes_are_those_of_the_figure(name):
    assert tuple(tuple(node) for node in necks.NECKS[name](3, 7)) == TABLES[name]


@pytest.mark.parametrize("name", necks.NECKS)
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


def test_fast_fusion_divides_by_the_sum_of_the_weights_that_are_positive():
    images = [jnp.full((1, 2, 2, 1), value) for value in (1.0, 10.0, 100.0)]
    fused = necks.fuse_fast(images, jnp.asarray([0.5, -3.0, 1.5]))
    expected = (0.5 * 1 + 1.5 * 100) / (2.0 + 1e-4)
    np.testing.assert_allclose(fused, np.full((1, 2, 2, 1), expected), rtol=1e-6)


def test_plain_fusion_is_the_sum():
    images = [jnp.full((1, 2, 2, 1), value) for value in (1.0, 10.0, 100.0)]
    np.testing.assert_array_equal(necks.fuse_sum(images), np.full((1, 2, 2, 1), 111.0))


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


@pytest.mark.parametrize("fusion", necks.FUSIONS)
def test_each_edge_with_other_channels_has_a_lateral_of_its_own(fusion):
    neck = necks.Neck(
        "bifpn", width=8, repeats=2, fusion=fusion, levels=(3, 7), style=STYLE
    )
    features, variables = shapes_of(neck, {3: 4, 4: 6, 5: 8}, (128, 128))
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
    assert len(weights) == (8 if fusion == "fast" else 0)
    assert {level: x.shape for level, x in features.items()} == {
        level: (1, 128 >> level, 128 >> level, 8) for level in range(3, 8)
    }


def test_coarser_levels_are_halved_upwards_from_c5():
    neck = necks.Neck(
        "bifpn", width=8, repeats=1, fusion="fast", levels=(3, 8), style=STYLE
    )
    features, variables = shapes_of(neck, {3: 4, 4: 4, 5: 12}, (257, 330))
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
