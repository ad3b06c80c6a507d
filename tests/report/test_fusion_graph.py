"""Where nodes stand and what is written on edges."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from efdet_jax.diagnosis.fusion_weights import Cell, learned_cells
from efdet_jax.models.necks import NECKS
from efdet_jax.report.fusion_graph import draw_cell, place_nodes


def learned(table, levels=(3, 7)):
    parameters = {
        f"{node.name}_weights": np.arange(1, len(node.inputs) + 1, dtype=np.float32)
        for node in NECKS[table](*levels)
    }
    (cell,) = learned_cells(
        {"cell_0": parameters}, table=table, levels=levels, fusion="fast"
    )
    return cell


@pytest.mark.parametrize("table", NECKS)
def test_no_two_nodes_stand_in_one_place_and_outputs_in_one_column(table):
    places = place_nodes(learned(table))
    for one, other in itertools.combinations(places.values(), 2):
        assert np.hypot(one.x - other.x, one.y - other.y) >= 1
    outputs = [place for name, place in places.items() if name.endswith("_out")]
    inputs = [place for name, place in places.items() if name.endswith("_in")]
    assert {place.x for place in outputs} == {max(p.x for p in places.values())}
    assert {place.x for place in inputs} == {0}
    assert sorted(place.y for place in outputs) == [3, 4, 5, 6, 7]


def drawn(cell: Cell):
    figure = Figure()
    axes = figure.add_subplot()
    draw_cell(axes, cell)
    return axes


def test_every_edge_is_drawn_and_the_greater_share_is_wider():
    axes = drawn(learned("bifpn"))
    widths = [patch.get_linewidth() for patch in axes.patches]
    # Ten nodes of a BiFPN: of them three have three inputs, five have two.
    assert len(widths) == 4 * 2 + 3 * 3 + 2
    words = [text.get_text() for text in axes.texts]
    # Of three inputs with weights 1, 2, 3 and of two with 1, 2.
    assert words.count("0.50") == 3
    assert words.count("0.67") == words.count("0.33") - 3 == 5
    assert len(set(np.round(widths, 3))) == 4


def test_a_sum_has_plain_edges_without_numbers():
    axes = drawn(learned("nas_fpn"))
    assert len({patch.get_linewidth() for patch in axes.patches}) == 1
    assert not any("0." in text.get_text() for text in axes.texts)


def test_the_edge_that_jumps_over_a_node_is_bent():
    axes = drawn(learned("bifpn_without_edge"))
    plain = [patch.get_connectionstyle().rad for patch in axes.patches]
    axes = drawn(learned("bifpn"))
    bent = [patch.get_connectionstyle().rad for patch in axes.patches]
    assert not any(plain)
    # From the input to the output of P4, P5 and P6, over the node between.
    assert sum(rad > 0 for rad in bent) == 3
