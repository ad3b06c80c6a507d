import numpy as np
import pytest

from efdet_jax.diagnosis.energy import energy_map, level_energy
from efdet_jax.diagnosis.fusion_weights import learned_cells
from efdet_jax.models.necks import NECKS


def weights_of(table, levels, value=1.0):
    return {
        f"{node.name}_weights": np.full(len(node.inputs), value, np.float32)
        for node in NECKS[table](*levels)
        if len(node.inputs) > 1
    }


def shares(cell):
    return {(edge.source, edge.node): edge.share for edge in cell.edges}


def test_shares_are_those_of_the_papers_equation():
    cell = weights_of("bifpn", (3, 5)) | {
        "p4_out_weights": np.float32([3.0, -1.0, 1.0]),
    }
    (learned,) = learned_cells(
        {"cell_0": cell, "p6_conv": {}}, table="bifpn", levels=(3, 5), fusion="fast"
    )
    found = shares(learned)
    # 3, 0 and 1 over 4.0001.
    assert found["p4_in", "p4_out"] == pytest.approx(3 / 4.0001)
    assert found["p4_td", "p4_out"] == 0
    assert found["p3_out", "p4_out"] == pytest.approx(1 / 4.0001)
    assert found["p5_in", "p4_td"] == pytest.approx(1 / 2.0001)
    # BiFPN of three levels: two nodes of two inputs each way but one of three.
    assert len(found) == 2 + 2 + 3 + 2


def test_shares_of_softmax():
    cell = weights_of("bifpn", (3, 4)) | {"p4_out_weights": np.log([1.0, 3.0])}
    (learned,) = learned_cells(
        {"cell_0": cell}, table="bifpn", levels=(3, 4), fusion="softmax"
    )
    assert shares(learned)["p3_out", "p4_out"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("table", "fusion"), [("fpn", "sum"), ("nas_fpn", "fast"), ("bifpn", "sum")]
)
def test_what_learns_no_weights_has_none(table, fusion):
    (learned,) = learned_cells(
        {"cell_0": {}}, table=table, levels=(3, 7), fusion=fusion
    )
    assert set(shares(learned).values()) == {None}
    inputs = sum(len(node.inputs) for node in learned.nodes)
    assert len(learned.edges) == inputs


def test_cells_come_in_the_order_of_their_numbers():
    neck = {f"cell_{i}": weights_of("bifpn", (3, 4)) for i in (10, 2, 0)}
    cells = learned_cells(neck, table="bifpn", levels=(3, 4), fusion="fast")
    assert [cell.name for cell in cells] == ["cell_0", "cell_2", "cell_10"]


def test_energy_by_hand():
    feature = np.zeros((1, 1, 2, 2))
    feature[0, 0, 0] = [3, -4]
    np.testing.assert_allclose(energy_map(feature), [[[np.sqrt(12.5), 0]]])
    assert level_energy({4: feature, 3: 2 * feature}) == pytest.approx({3: 5.0, 4: 2.5})
