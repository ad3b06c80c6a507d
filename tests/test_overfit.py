"""A neck that no other test trains learns eight images by heart."""

import pytest
import tiny

from efdet_jax import train


@pytest.mark.slow
def test_a_nas_fpn_finds_what_it_was_shown(tmp_path):
    config = tiny.get_config()
    config.image_size = (128, 128)
    config.model.levels = (3, 7)
    config.model.backbone.width = 0.35
    config.model.neck.width = 24
    config.model.neck.name = "nas_fpn"
    config.data.shapes.num_train = 8
    config.data.flip = False
    config.data.jitter = (1.0, 1.0)
    config.data.val = config.data.train
    config.eval.pictures = 0
    config.steps = 240
    config.optimizer.warmup_steps = 20
    assert train.train(config, tmp_path)["AP"] > 0.9
