"""Everything that can be compared trains: it learns eight images by heart."""

import pytest
import tiny

from efdet_jax import comparisons, train
from efdet_jax.models.fusion import WEIGHTINGS
from efdet_jax.models.necks import NECKS


def small(neck="bifpn", fusion="sum"):
    """A detector of few channels, the training images to be found again."""
    config = tiny.get_config()
    config.model.levels = (3, 7)
    config.image_size = (128, 128)
    config.model.backbone.width = 0.35
    config.model.neck.width = 24
    config.model.neck.name = neck
    config.model.neck.fusion = fusion
    config.data.shapes.num_train = 8
    config.data.flip = False
    config.data.jitter = (1.0, 1.0)
    config.data.val = config.data.train
    config.eval.pictures = 0
    config.steps = 160
    config.optimizer.warmup_steps = 20
    config.log_every = 50
    return config


def retinanet():
    """ResNet-50 and RetinaNet's layers, the pyramid narrower."""
    config = small("fpn")
    theirs = comparisons.get_retinanet_config(50).model
    with config.model.unlocked():
        config.model.backbone = theirs.backbone
    for key in ("conv", "norm", "activation", "padding"):
        config.model[key] = theirs[key]
    config.model.neck.coarse = theirs.neck.coarse
    config.model.neck.has_activation = theirs.neck.has_activation
    config.model.neck.width = 64
    config.optimizer.learning_rate = 1e-3
    return config


CONFIGS = {
    **{f"{neck} sum": (small, neck, "sum") for neck in NECKS},
    **{f"bifpn {fusion}": (small, "bifpn", fusion) for fusion in WEIGHTINGS},
    "RetinaNet": (retinanet,),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_it_finds_what_it_was_shown(name, tmp_path):
    make, *arguments = CONFIGS[name]
    assert train.train(make(*arguments), tmp_path)["AP"] > 0.9
