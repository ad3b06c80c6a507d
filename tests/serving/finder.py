"""A detector that finds what is white; for tests."""

import cv2
import numpy as np

from efdet_jax.data.labels import LabelMap
from efdet_jax.inference.detector import LoadedDetector
from efdet_jax.structures import BACKGROUND, Detections


class Finder:
    """Finds the white rectangle of an image, and its left half with half the score."""

    def __init__(self):
        self.seen = []
        """Inputs of the network."""
        self.detector = LoadedDetector(
            labels=LabelMap((7, 3), ("white", "half")),
            image_size=(20, 30),
            batch_size=1,
            resize="letterbox",
            pad_colour=(0.0, 0.0, 0.0),
            infer=self.infer,
        )

    def infer(self, inputs):
        (image,) = inputs
        self.seen.append(image)
        rows, columns = np.nonzero((image == 255).all(axis=-1))
        if not len(rows):
            nothing = np.zeros((1, 2), np.float32)
            return Detections(
                np.zeros((1, 2, 4), np.float32), nothing, np.full((1, 2), BACKGROUND)
            )
        y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        boxes = [[y0, x0, y1, x1], [y0, x0, y1, (x0 + x1) / 2]]
        return Detections(
            np.array([boxes], np.float32),
            np.array([[0.9, 0.45]], np.float32),
            np.array([[0, 1]]),
        )


def picture(kind=".png"):
    """An image of 40 rows and 60 columns with a white rectangle; also reddish."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 2] = 200  # red, for OpenCV
    image[10:20, 6:30] = 255
    return cv2.imencode(kind, image)[1].tobytes()
