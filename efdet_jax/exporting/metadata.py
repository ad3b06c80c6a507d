"""What a program needs to know to use a detector that is one file."""

import json
from typing import Any

from ml_collections import ConfigDict

from efdet_jax.assemble import pad_colour
from efdet_jax.data.labels import LabelMap
from efdet_jax.exporting.bundle import KIND, VERSION
from efdet_jax.journal import versions

_ARITHMETIC = {
    "letterbox": "in float32: s = min(height / h, width / w) for an image of h x w; the"
    " image becomes int(h * s) x int(w * s) at the upper left, what is below and beside"
    " it is pad_colour; boxes / s are in pixels of the image",
    "stretch": "the image becomes height x width; boxes * (h / height, w / width) are"
    " in pixels of the image",
}
"""Of each key of `data.transforms.RESIZES`."""


def metadata(config: ConfigDict, labels: LabelMap) -> dict[str, Any]:
    """Returns what JSON holds of a detector beside its program."""
    height, width = config.image_size
    return {
        "kind": KIND,
        "version": VERSION,
        "image_size": [height, width],
        "placement": {
            "resize": config.data.resize,
            "arithmetic": _ARITHMETIC[config.data.resize],
            "interpolation": "bilinear, half-pixel centres, no antialiasing"
            " (OpenCV's INTER_LINEAR on uint8)",
            "pad_colour": list(pad_colour(config)),
        },
        "input": "images: uint8 [b, height, width, 3], RGB, 0..255",
        "outputs": {
            "boxes": "float32 [b, d, 4]: y0, x0, y1, x1 in pixels of the input",
            "scores": "float32 [b, d], best first; 0 in rows beyond the last",
            "classes": "int32 [b, d]: positions in labels; -1 in rows beyond the last",
        },
        "labels": labels.to_json(),
        "config": json.loads(config.to_json()),
        "versions": versions(),
        "license": "The program is made by efdet-jax, Apache-2.0. What holds for the"
        " weights, their author says.",
    }
