"""Images with one class each, without a download: the objects of drawn scenes."""

import numpy as np
from jaxtyping import UInt8

from efdet_jax.data.crops import Crop
from efdet_jax.data.flaws import Flaw
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.source import Source
from efdet_jax.data.whole import whole_image
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

MARGIN = 1.25
"""Side of a crop over the longer side of its object."""


class SceneCrops:
    """Image `i` is a square around the topmost object of scene `i`; a `Source`.

    Nothing covers that object. Parts of others, and of the clutter, may be beside it.
    """

    def __init__(self, scenes: Source):
        """Keeps what is cropped.

        Args:
          scenes: draws later objects over earlier ones, as `shapes.Shapes` does.
        """
        self._scenes = scenes
        self.labels: LabelMap = scenes.labels
        self.flaws: tuple[Flaw, ...] = scenes.flaws

    def __len__(self) -> int:
        return len(self._scenes)

    def title(self, i: int) -> str:
        """Names image `i`."""
        return f"crop of {self._scenes.title(i)}"

    def encoded(self, i: int) -> bytes:
        """Returns nothing: images are drawn."""
        return self._scenes.encoded(i)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draws scene `i` and cuts out its object, RGB."""
        crop = self._crop(self._scenes.annotations(i))
        rows = slice(crop.top, crop.top + crop.height)
        return self._scenes.image(i)[rows, crop.left : crop.left + crop.width]

    def annotations(self, i: int) -> Annotations:
        """Returns the class of image `i`, as an object that fills it.

        Raises:
          UsageError: the scene is empty.
        """
        scene = self._scenes.annotations(i)
        crop = self._crop(scene)
        class_ = int(scene.classes[-1])
        return whole_image(scene.image_id, crop.height, crop.width, class_)

    def _crop(self, scene: Annotations) -> Crop:
        if len(scene.boxes) == 0:
            raise UsageError(
                f"crops: scene {scene.image_id} has no object to show; set"
                " config.data.shapes.min_objects to 1 or more"
            )
        y0, x0, y1, x1 = scene.boxes[-1]
        # Not larger than the image, and moved into it.
        wanted = round(MARGIN * float(max(y1 - y0, x1 - x0)))
        side = max(1, min(scene.height, scene.width, wanted))
        top, left = (
            int(np.clip((low + high - side) / 2, 0, limit - side))
            for low, high, limit in ((y0, y1, scene.height), (x0, x1, scene.width))
        )
        return Crop(top, left, side, side)
