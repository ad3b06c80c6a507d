"""Small weight files of every container."""

import io
import pathlib
import tarfile

import h5py
import numpy as np
from oracles.recorded import GOLDENS
from safetensors.numpy import save

NAMES = ("backbone/stem/kernel", "backbone/stem_bn/scale", "class_head/predict/bias")
ARRAYS = {
    name: np.arange(6, dtype=np.float32).reshape(2, 3) + i
    for i, name in enumerate(NAMES)
}


def samples() -> dict[str, bytes]:
    """Files that need no TensorFlow."""
    metadata = {"efdet_jax.labels": '{"ids": [1, 2], "names": ["cat", "dog"]}'}
    return {
        "safetensors": save(ARRAYS, metadata),
        "torch zip": (GOLDENS / "torch_zip.pth").read_bytes(),
        "torch stream": (GOLDENS / "torch_stream.pth").read_bytes(),
        "h5": _h5(compression=None),
        "h5 packed": _h5(compression="gzip"),
        "h5 latest": _h5(compression=None, libver="latest"),
        "tflite": np.load(GOLDENS / "tflite.npz")["int8"].tobytes(),
        "tar": tarred({"d0/a.index": b"i" * 700, "d0/a.data-00000-of-00001": b"d" * 9}),
    }


def _h5(*, compression, libver="earliest"):
    file = io.BytesIO()
    with h5py.File(file, "w", libver=libver) as root:
        for name, array in ARRAYS.items():
            layer, _, variable = name.rpartition("/")
            group = root.require_group(layer)
            group.attrs["weight_names"] = [f"{variable}:0".encode()]
            group.create_dataset(f"{variable}:0", data=array, compression=compression)
    return file.getvalue()


def tarred(files, mode="w:gz"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def save_tf_checkpoint(prefix: pathlib.Path) -> None:
    """Writes the arrays as TensorFlow does."""
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(ARRAYS),
        shape_and_slices=[""] * len(ARRAYS),
        tensors=[tf.constant(array) for array in ARRAYS.values()],
    )
