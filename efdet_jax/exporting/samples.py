"""Images on which an exported detector and its model are compared."""

import pathlib

import numpy as np
from etils import epath
from jaxtyping import UInt8
from ml_collections import ConfigDict

from efdet_jax.assemble import open_spec, pad_colour
from efdet_jax.data.files import decode_image, read_bytes
from efdet_jax.data.transforms import place, place_image
from efdet_jax.data.yolo import IMAGE_SUFFIXES
from efdet_jax.errors import UsageError

_NUM_DRAWN = 4
_MOST_FILES = 16


def samples(config: ConfigDict, folder: str | None) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Returns images as the network's input, placed as evaluation does it.

    Args:
      config: of the experiment.
      folder: of photographs, the first sixteen by name; None for drawn scenes.

    Raises:
      UsageError: there is none in the folder, or one is broken.
    """
    if folder is None:
        spec = "shapes:val"
        source = open_spec(config, spec, name=f"--images={spec}")
        images = [source.image(i) for i in range(min(_NUM_DRAWN, len(source)))]
    else:
        images = [
            decode_image(read_bytes(epath.Path(path)), name=str(path))
            for path in _files(pathlib.Path(folder))
        ]
    output_size = tuple(config.image_size)
    return [
        place_image(
            image,
            place(image.shape[:2], output_size=output_size, resize=config.data.resize),
            output_size=output_size,
            pad_colour=pad_colour(config),
        )
        for image in images
    ]


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        raise UsageError(f"--images={folder} is no folder: name one of photographs")
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES
    )
    if not found:
        raise UsageError(
            f"--images={folder} has no image ({' '.join(IMAGE_SUFFIXES)}): name a "
            "folder of photographs"
        )
    return found[:_MOST_FILES]
