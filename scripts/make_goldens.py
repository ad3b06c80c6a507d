"""Cuts the small arrays of tests/goldens/automl.npz from the recorded reference.

Usage: python scripts/make_goldens.py REFERENCE, the folder that holds `automl/`.
"""

import json
import pathlib
import sys
from typing import Any

import numpy as np

LEVELS = (3, 4, 5, 6, 7)
LABEL_CASES = (
    "A_256_generic",
    "B_256_special",
    "E_256_one_far_outside",
    "F_256_empty",
    "G_256_two_tiny_same_anchor",
)


def cut_anchors(reference):
    """Every 97th anchor of each recorded grid, and the number of anchors."""
    recorded = np.load(reference / "anchors.npz")
    for name in recorded:
        if name.endswith("__feat_sizes"):
            yield f"anchors/{name}", recorded[name]
        else:
            yield f"anchors/{name}", recorded[name][::97]
            yield f"anchors/{name}__count", np.int64(len(recorded[name]))


def cut_decode(reference):
    """The first 60 of 2,000 decoded boxes."""
    recorded = np.load(reference / "box_decode.npz")
    yield "decode/anchors", recorded["anchors"][:60]
    yield "decode/codes", recorded["pred_tytxthtw"][:, :60]
    yield "decode/boxes", recorded["decoded_yxyx"][:, :60]


def cut_labels(reference):
    """Ground truth, and the rows of the anchors that are positive."""
    recorded = np.load(reference / "labels.npz")
    for case in LABEL_CASES:
        classes, codes = (
            np.concatenate(
                [recorded[f"{case}/{kind}_{l}"].reshape(-1, n) for l in LEVELS]
            )
            for kind, n in (("cls_targets", 1), ("box_targets", 4))
        )
        rows = np.flatnonzero(classes[:, 0] >= 0)
        yield f"labels/{case}/boxes", recorded[f"{case}/gt_boxes_yxyx"]
        yield f"labels/{case}/classes", recorded[f"{case}/gt_labels"][:, 0] - 1
        yield f"labels/{case}/positive_rows", rows
        yield f"labels/{case}/positive_classes", classes[rows, 0]
        yield f"labels/{case}/positive_codes", codes[rows]


def cut_losses(reference):
    """Elementwise losses, and all of level 6 of a detector's loss."""
    for kind in ("focal", "huber"):
        recorded = np.load(reference / f"{kind}_small.npz")
        for name in recorded:
            yield f"{kind}/{name}", recorded[name]
    outputs = np.load(reference / "d0_256_outputs.npz")
    labels = np.load(reference / "loss_inputs_labels.npz")
    losses = json.loads((reference / "losses.json").read_text())
    yield "level6/class_logits", outputs["cls_6"].reshape(2, -1, 90)
    yield "level6/box_codes", outputs["box_6"].reshape(2, -1, 4)
    yield "level6/target_classes", labels["cls_targets_6"].reshape(2, -1)
    yield "level6/target_codes", labels["box_targets_6"].reshape(2, -1, 4)
    yield "level6/num_positives", labels["mean_num_positives"][:, 0]
    for smoothing in ("0", "0.1"):
        values = losses[f"label_smoothing_{smoothing}"]
        for part in ("cls", "box"):
            value = np.float64(values[f"{part}_loss_level_6"])
            yield f"level6/{part}_loss_{smoothing}", value


def cut_suppression(reference):
    """Hard and soft suppression of 60 boxes of one class."""
    recorded = np.load(reference / "nms_small.npz")
    yield "nms/boxes", recorded["boxes"]
    yield "nms/scores", recorded["scores"]
    for case in ("hard_iou0.5", "gauss_sigma0.25_thr0.001", "gauss_sigma0.25_thr0.3"):
        valid = int(recorded[f"{case}/valid"])
        yield f"nms/{case}/kept", recorded[f"{case}/indices"][:valid]
        yield f"nms/{case}/scores", recorded[f"{case}/scores"][:valid]


def main():
    """Writes the file beside the tests."""
    reference = pathlib.Path(sys.argv[1]) / "automl"
    target = pathlib.Path(__file__).parents[1] / "tests/goldens/automl.npz"
    cuts = (cut_anchors, cut_decode, cut_labels, cut_losses, cut_suppression)
    arrays: dict[str, Any] = dict(item for cut in cuts for item in cut(reference))
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(arrays)} arrays, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
