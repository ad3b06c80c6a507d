"""Records what timm's EfficientNets say: tests/goldens/timm.npz.

Usage: python scripts/make_goldens_timm.py, with torch and timm installed.
"""

import pathlib
import sys
from typing import Any

import numpy as np
import timm  # pyrefly: ignore[missing-import]
import torch  # pyrefly: ignore[missing-import]

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

# pyrefly: ignore[missing-import]
from oracles.torch_state import draw  # noqa: E402

MODELS = {
    "tf_efficientnet_b0": (96, 128),
    "efficientnet_b0": (128, 96),
    "tf_efficientnet_lite0": (96, 96),
}
"""Height and width of the image. Each kind once: of padding, of epsilon, of layers."""


@torch.no_grad()
def logits(name, size):
    """The 1000 logits of a drawn image, of a classifier with arrays drawn by name."""
    model = timm.create_model(name).eval()
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(draw(key, tuple(tensor.shape))))
    image = torch.from_numpy(draw("image", (1, *size, 3))).permute(0, 3, 1, 2)
    return model(image).numpy()


def main():
    """Writes the file beside the tests."""
    arrays: dict[str, Any] = {}
    for name, size in MODELS.items():
        arrays[f"{name}/size"] = np.array(size)
        arrays[f"{name}/logits"] = logits(name, size)
    target = ROOT / "tests/goldens/timm.npz"
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(arrays)} arrays, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
