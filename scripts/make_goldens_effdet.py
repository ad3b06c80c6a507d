"""Records what effdet's detectors say: tests/goldens/effdet.npz.

Usage: python scripts/make_goldens_effdet.py, with torch, timm and effdet installed.
"""

import pathlib
import sys
from typing import Any

import effdet  # pyrefly: ignore[missing-import]
import numpy as np
import torch  # pyrefly: ignore[missing-import]

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

# pyrefly: ignore[missing-import]
from oracles.torch_state import draw  # noqa: E402

MODELS = {
    "tf_efficientdet_d0": (128, 256),
    "efficientdet_d0": (256, 128),
    "tf_efficientdet_lite0": (128, 192),
}
"""Height and width of the image. Each kind once: of padding, of biases, of layers."""
NUM_RECORDED = 500


@torch.no_grad()
def detector(name, size):
    """A detector whose arrays are drawn by their names."""
    config = effdet.get_efficientdet_config(name)
    config.image_size = size
    model = effdet.EfficientDet(config, pretrained_backbone=False).eval()
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(draw(key, tuple(tensor.shape))))
    return model


@torch.no_grad()
def what_it_says(model, size):
    """C3 to C5 [b h w c], logits [b a k] and codes [b a 4] for a drawn image, by name.

    Of drawn weights little of the first layers comes through to the last; so what is
    between is recorded too.
    """
    image = torch.from_numpy(draw("image", (1, *size, 3))).permute(0, 3, 1, 2)
    depths = {"logits": model.config.num_classes, "codes": 4}
    found = {
        f"C{level}": x.permute(0, 2, 3, 1).numpy()
        for level, x in enumerate(model.backbone(image), start=3)
    }
    for maps, (what, depth) in zip(model(image), depths.items(), strict=True):
        rows = [x.permute(0, 2, 3, 1).reshape(1, -1, depth) for x in maps]
        found[what] = torch.cat(rows, dim=1).numpy()
    return found


def main():
    """Writes the file beside the tests."""
    choose = np.random.default_rng(0).choice
    arrays: dict[str, Any] = {}
    for name, size in MODELS.items():
        arrays[f"{name}/size"] = np.array(size)
        for what, array in what_it_says(detector(name, size), size).items():
            rows = choose(array.size, NUM_RECORDED, replace=False)
            arrays[f"{name}/{what}/shape"] = np.array(array.shape)
            arrays[f"{name}/{what}/rows"] = rows.astype(np.int32)
            arrays[f"{name}/{what}/values"] = array.reshape(-1)[rows]
    target = ROOT / "tests/goldens/effdet.npz"
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(arrays)} arrays, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
