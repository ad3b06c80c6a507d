"""Post-processing of what the networks have said, compared as sets of detections."""

import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from measures.around import AUTOML, EFFDET, STEM, automl_outputs, effdet_outputs
from measures.rows import Row

from efdet_jax import recipes
from efdet_jax.config import get_config
from efdet_jax.postprocess import postprocess

ALL_ANCHORS = {"candidates": "best_class", "max_candidates": 0}
PER_CLASS = {"per_class": True, "clip": "never"}
GLOBAL = {"per_class": False, "clip": "after"}
SOFT = {"method": "gaussian", "score_threshold": 0.001}
HARD = {"method": "hard", "score_threshold": 0.0}
MODES = {
    f"{mode}/{name}": {**settings, **scope}
    for mode, scope in (("per_class", PER_CLASS), ("global", GLOBAL))
    for name, settings in {
        "gaussian_default": SOFT | ALL_ANCHORS,
        "gaussian_thr0.05": SOFT | ALL_ANCHORS | {"score_threshold": 0.05},
        "gaussian_maxin5000": SOFT,
        "hard_default": HARD | ALL_ANCHORS,
        "hard_iou0.3_thr0.1": {
            **HARD,
            **ALL_ANCHORS,
            "iou_threshold": 0.3,
            "score_threshold": 0.1,
        },
        "hard_maxin5000": HARD,
    }.items()
} | {
    "combined/default": {
        **HARD,
        "per_class": True,
        "clip": "after",
        "candidates": "pairs",
        "max_candidates": 0,
    }
}
"""The settings of google/automl's recordings as we say them.

Not among them is `pyfunc_numpy`, the evaluation of its TF1 code, which counts a pixel
more in every side of a box.
"""


UNSCALED = np.ones(2)
"""Original pixels by pixel, for two images as the network has seen them."""


def automl(reference: Path) -> Iterator[Row]:
    """Against google/automl, the worst of its settings for each method."""
    outputs = automl_outputs(reference)
    anchors = np.load(reference / "automl/anchors.npz")["d0_256"]
    recording = np.load(reference / "automl/postprocess_d0_256.npz")
    groups: dict[str, list[Row]] = {"gaussian": [], "hard": []}
    for name, settings in MODES.items():
        found = _detect(outputs, anchors, get_config("table", 0), **settings)
        # It is in pixels of the original image, and counts classes from 1.
        expected = (
            recording[f"{name}/boxes"] / recording["image_scales"][:, None, None],
            recording[f"{name}/scores"],
            recording[f"{name}/classes"].astype(int) - 1,
        )
        group = groups[settings["method"]]
        group.append(_row(name, AUTOML, found, expected))
    for method, rows in groups.items():
        worst = max(rows, key=lambda row: row.difference)
        what = f"detections: {method}, {len(rows)} settings"
        yield worst._replace(what=what, where=worst.what)


def effdet(reference: Path) -> Iterator[Row]:
    """Against effdet, not told and told of the image's size, and soft."""
    outputs = effdet_outputs(reference)
    anchors = np.load(reference / f"{STEM}_loss.npz")["anchors_yxyx"]
    recording = np.load(reference / f"{STEM}_det.npz")
    config = recipes.get_effdet_config("tf_efficientdet_d0")
    detect = functools.partial(_detect, outputs, anchors, config)
    found = detect(**HARD, clip="never")
    yield _row("detections: hard", EFFDET, found, _split(recording["det"]))
    scale = recording["img_scale"]
    widths, heights = (recording["img_size_wh"] / scale[:, None]).T.tolist()
    each = [
        jax.tree.map(
            lambda x, i=i: x[i], detect(**HARD, clip="before", image_size=size)
        )
        for i, size in enumerate(zip(heights, widths, strict=True))
    ]
    found = jax.tree.map(lambda *x: np.stack(x), *each)
    expected = _split(recording["det_img_info"], scale)
    yield _row("detections: hard, clipped before", EFFDET, found, expected)
    found = detect(**SOFT, clip="never")
    expected = _split(recording["det_soft"])
    # It moves classes thousands of pixels apart, which costs its IoUs digits.
    yield _row("detections: soft", EFFDET, found, expected, tolerance=1e-3)


def _detect(outputs, anchors, config, *, image_size=(256, 256), **settings):
    knobs = config.postprocess.to_dict() | settings
    run = jax.jit(functools.partial(postprocess, image_size=image_size, **knobs))
    return run(outputs, anchors)


def _split(detections, scale=UNSCALED):
    """Boxes, scores and classes of [x0, y0, x1, y1, score, class from 1] rows."""
    boxes = detections[..., [1, 0, 3, 2]] / scale[:, None, None]
    return boxes, detections[..., 4], detections[..., 5].astype(int) - 1


def _row(what, against, found, expected, tolerance=1e-5) -> Row:
    images = [
        set_difference(
            *([np.asarray(x[i]) for x in side] for side in (found, expected))
        )
        for i in range(2)
    ]
    return Row(what, against, max(images), 1.0, f"image {np.argmax(images)}", tolerance)


def set_difference(found, expected) -> float:
    """The worst difference when each detection has the partner that is nearest.

    Each side is boxes, scores and classes. A difference of scores counts as it is, one
    of boxes as a share of the largest coordinate. Infinite where partners are of
    different classes or numbers; so the order of rows does not matter.
    """
    side = np.abs(expected[0]).max()
    left = list(zip(*found, strict=True))
    worst = 0.0
    for box, score, class_ in zip(*expected, strict=True):
        distances = [
            max(np.abs(b - box).max() / side, abs(s - score)) if c == class_ else np.inf
            for b, s, c in left
        ]
        if not distances:
            return np.inf
        nearest = int(np.argmin(distances))
        worst = max(worst, float(distances[nearest]))
        del left[nearest]
    return np.inf if left else worst
