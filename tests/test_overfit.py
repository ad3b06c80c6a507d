"""Necks with every fusion, and RetinaNet, learn eight drawn images by heart.

All necks with all fusions, and the published detectors: scripts/overfit.py.
"""

import pytest

from efdet_jax import comparisons, recipes, train
from efdet_jax.models.fusion import CHOICES

PAIRS = [("panet", "softmax"), ("bifpn", "fast")]
MORE = [("quad_fpn", "unbounded"), ("nas_fpn", "sum")]


def test_every_fusion_is_among_them():
    assert {fusion for _, fusion in PAIRS + MORE} == set(CHOICES)


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize(
    ("neck", "fusion"),
    [*PAIRS, *(pytest.param(*pair, marks=pytest.mark.exhaustive) for pair in MORE)],
)
def test_a_neck_finds_what_it_was_shown(neck, fusion, tmp_path):
    config = recipes.get_small_config(-4.0)
    config.model.neck.name = neck
    config.model.neck.fusion = fusion
    config = recipes.get_memory_config(config)
    config.steps = config.eval.every = config.checkpoint.every = 150
    assert train.train(config, tmp_path)["AP"] > 0.9


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_retinanet_finds_what_it_was_shown(tmp_path):
    config = recipes.get_memory_config(comparisons.get_retinanet_config(50))
    config.steps = config.eval.every = config.checkpoint.every = 150
    config.optimizer.learning_rate = 1e-3
    assert train.train(config, tmp_path)["AP"] > 0.9
