"""Names in effdet's EfficientDets (rwightman/efficientdet-pytorch).

Source: effdet 0.4.1, effdet/efficientdet.py. Those without redundant biases have the
same names and fewer of them.
"""

from collections.abc import Collection

from efdet_jax.weights.names import timm
from efdet_jax.weights.names.naming import TORCH, Layout, translate, under

DETECTOR = {
    **under("", "backbone.", timm.BACKBONE),
    **under(
        "neck/p6_",
        "fpn.resample.3.conv.",
        {"conv/{leaf}": "conv.{leaf}", "bn/{norm}": "bn.{norm}"},
    ),
    **under(
        "neck/cell_{cell}/{node}_",
        "fpn.cell.{cell}.fnode.{node}.",
        {
            "weights": "combine.edge_weights",
            "from_p{source}_in_conv/{leaf}": "combine.resample.{rung}.conv.conv.{leaf}",
            "from_p{source}_in_bn/{norm}": "combine.resample.{rung}.conv.bn.{norm}",
            "conv/depthwise/{leaf}": "after_combine.conv.conv_dw.{leaf}",
            "conv/pointwise/{leaf}": "after_combine.conv.conv_pw.{leaf}",
            "bn/{norm}": "after_combine.conv.bn.{norm}",
        },
    ),
    **under(
        "{head}_head/",
        "{head}_net.",
        {
            "conv_{repeat}/depthwise/{leaf}": "conv_rep.{repeat}.conv_dw.{leaf}",
            "conv_{repeat}/pointwise/{leaf}": "conv_rep.{repeat}.conv_pw.{leaf}",
            "bn_{repeat}_p{level}/{norm}": "bn_rep.{repeat}.{rung}.bn.{norm}",
            "predict/depthwise/{leaf}": "predict.conv_dw.{leaf}",
            "predict/pointwise/{leaf}": "predict.conv_pw.{leaf}",
        },
    ),
}


def is_this(names: Collection[str]) -> bool:
    """Tells the state dict of a detector with an EfficientNet and a BiFPN."""
    marks = {
        "backbone.conv_stem.weight",
        "fpn.cell.0.fnode.0.after_combine.conv.conv_dw.weight",
        "class_net.bn_rep.0.0.bn.weight",
    }
    return marks <= set(names)


def names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns the name of our variable, if a detector has it."""
    name = translate(path, layout, DETECTOR, TORCH)
    return () if name is None else (name,)
