"""Records what torchvision's ResNets say: tests/goldens/resnet.npz.

Usage: python scripts/make_goldens_resnet.py, with torch and torchvision installed.
"""

import json
import pathlib
import sys

import numpy as np
import torch  # pyrefly: ignore[missing-import]
from torchvision.models import resnet  # pyrefly: ignore[missing-import]

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

# pyrefly: ignore[missing-import]
from oracles.torch_state import draw  # noqa: E402

RECORDED_PER_LEVEL = 1000
STAGES = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""resnet50, resnet101, and the smallest one of bottlenecks, for tests in a hurry."""


def fill(module, prefix=""):
    """Draws every array of a module by its name."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(draw(prefix + name, tuple(tensor.shape))))
    return module


def record_features(depth, size):
    """C3 to C5 of a drawn image in inference: some of their values, and where."""
    model = fill(resnet.ResNet(resnet.Bottleneck, STAGES[depth]).eval())
    shapes = {name: list(array.shape) for name, array in model.state_dict().items()}
    yield f"resnet{depth}/shapes", np.array(json.dumps(shapes))
    image = draw("image", (1, *size, 3))
    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    choose = np.random.default_rng(0).choice
    for level in (2, 3, 4, 5):
        x = getattr(model, f"layer{level - 1}")(x)
        if level == 2:
            continue
        feature = x.permute(0, 2, 3, 1).numpy()
        rows = choose(feature.size, RECORDED_PER_LEVEL, replace=False)
        key = f"resnet{depth}/{size[0]}x{size[1]}/c{level}"
        yield f"{key}/shape", np.array(feature.shape)
        yield f"{key}/rows", rows.astype(np.int32)
        yield f"{key}/values", feature.reshape(-1)[rows]


def record_training():
    """A bottleneck in training: its output, gradients and statistics after the step."""
    downsample = torch.nn.Sequential(
        torch.nn.Conv2d(8, 16, 1, stride=2, bias=False), torch.nn.BatchNorm2d(16)
    )
    block = resnet.Bottleneck(8, 4, 2, downsample)
    block = fill(block, "layer1.0.").train()
    x = torch.from_numpy(draw("input", (2, 5, 6, 8))).requires_grad_()
    y = block(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    (y * torch.from_numpy(draw("gradient", tuple(y.shape)))).sum().backward()
    yield "block/output", y.detach().numpy()
    yield "block/gradient/input", x.grad.numpy()
    for name, parameter in block.named_parameters():
        yield f"block/gradient/layer1.0.{name}", parameter.grad.numpy()
    for name, buffer in block.named_buffers():
        yield f"block/after/layer1.0.{name}", buffer.numpy()


def main():
    """Writes the file beside the tests."""
    target = ROOT / "tests/goldens/resnet.npz"
    arrays = dict(record_training())
    with torch.no_grad():
        for depth in STAGES:
            for size in ((64, 96), (65, 97)):
                arrays |= record_features(depth, size)
    np.savez_compressed(target, **arrays)
    print(f"{target}: {len(arrays)} arrays, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
