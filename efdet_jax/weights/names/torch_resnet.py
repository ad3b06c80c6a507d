"""Names in torchvision's and timm's ResNets with bottlenecks, which are the same.

Source: torchvision, models/resnet.py; timm, models/resnet.py (resnet50, resnet101).
"""

from collections.abc import Collection

from efdet_jax.weights.names.naming import TORCH, Layout, translate, under

BACKBONE = {
    "backbone/stem/{leaf}": "conv1.{leaf}",
    "backbone/stem_bn/{norm}": "bn1.{norm}",
    **under(
        "backbone/block_{block}/",
        "layer{stage}.{place}.",
        {
            "conv_1/{leaf}": "conv1.{leaf}",
            "conv_1_bn/{norm}": "bn1.{norm}",
            "conv_2/{leaf}": "conv2.{leaf}",
            "conv_2_bn/{norm}": "bn2.{norm}",
            "conv_3/{leaf}": "conv3.{leaf}",
            "conv_3_bn/{norm}": "bn3.{norm}",
            "shortcut/{leaf}": "downsample.0.{leaf}",
            "shortcut_bn/{norm}": "downsample.1.{norm}",
        },
    ),
}


def is_this(names: Collection[str]) -> bool:
    """Tells the state dict of a ResNet of bottlenecks, with classifier or without."""
    return {"conv1.weight", "layer1.0.conv3.weight"} <= set(names)


def names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns the name of our variable, if a ResNet has it."""
    if layout.backbone != "resnet":
        return ()
    # Their layers are counted from 1, as if an empty one came first.
    layout = layout._replace(stages=(0, *layout.stages))
    name = translate(path, layout, BACKBONE, TORCH)
    return () if name is None else (name,)
