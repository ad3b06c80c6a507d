"""Writes tests/goldens/torch_zip.pth and torch_stream.pth with PyTorch itself.

Usage: python scripts/make_goldens_torch.py, where torch is installed. Both hold the
checkpoint of a training script: numbers of every type, counted from 0, behind views.
"""

import argparse
import collections
import pathlib

import torch  # pyrefly: ignore[missing-import]

GOLDENS = pathlib.Path(__file__).parents[1] / "tests" / "goldens"
TYPES = (
    *("float64", "float32", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)


def state_dict():
    """Counts from 0 in every type, and every way in which a view can be odd."""
    tensors = collections.OrderedDict()
    for name in TYPES:
        tensors[f"types.{name}"] = (
            torch.arange(6).reshape(2, 3).to(getattr(torch, name))
        )
    counted = torch.arange(24.0)
    tensors["views.slice"] = counted[5:9]
    tensors["views.step"] = counted[1::5]
    tensors["views.turned"] = counted.reshape(2, 3, 4).permute(2, 0, 1)
    tensors["views.number"] = counted[7]
    tensors["views.empty"] = counted[:0].reshape(0, 3)
    tensors["parameter"] = torch.nn.Parameter(torch.arange(3.0))
    tensors["bn.num_batches_tracked"] = torch.tensor(7)
    return tensors


def main():
    """Writes both files."""
    tensors = state_dict()
    checkpoint = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, model="d0", sizes=[1, 2], seed=None),
        "optimizer": {"state": {0: {"momentum": torch.ones(2)}}, "param_groups": []},
        "state_dict": {
            f"module.{name}": -value.int() for name, value in tensors.items()
        },
        "state_dict_ema": collections.OrderedDict(
            (f"module.{name}", value) for name, value in tensors.items()
        ),
        "metric": 0.5,
    }
    torch.save(checkpoint, GOLDENS / "torch_zip.pth")
    torch.save(
        checkpoint, GOLDENS / "torch_stream.pth", _use_new_zipfile_serialization=False
    )


if __name__ == "__main__":
    main()
