"""Weight files of every container, told by what they hold and not by their names."""

import io
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from efdet_jax.errors import UsageError
from efdet_jax.regular import open_regular
from efdet_jax.weights.files import archives, tf_checkpoint, torch_pickle

LARGEST = 2**32
"""Bytes of a file, or of all in an archive; D7x with its averages and momenta has
0.9 GB."""


class Stored(NamedTuple):
    """What a weight file holds, before anything is known of its family."""

    container: str
    """Is torch, safetensors, h5, tf_checkpoint or tflite."""
    arrays: Mapping[str, np.ndarray]
    """By the names in the file. They may be read-only and share memory."""
    metadata: Mapping[str, str]
    """What a .safetensors says beside its arrays; empty for the others."""


def read(path: pathlib.Path) -> Stored:
    """Reads a weight file; nothing in it is ever run.

    Formats of numbers that NumPy lacks (bfloat16, float8) become float32.

    Args:
      path: A PyTorch file of either format, a .safetensors, a Keras .h5 with names, an
        EfficientDet-Lite .tflite, or a TensorFlow checkpoint: its prefix, one of its
        files, its folder, or a tar of that folder, compressed or not.

    Raises:
      UsageError: naming the file, what is wrong with it and the remedy.
    """
    title, reader = _recognise(path)
    try:
        stored = reader(path)
    except UsageError:
        raise
    # Nobody lists what these parsers, some of them in C++, raise on a damaged file.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise UsageError(
            f"{path}: looks like {title}, but is damaged or cut short ({reason}): fetch"
            " it again"
        ) from error
    arrays = {name: _widened(array) for name, array in stored.arrays.items()}
    return stored._replace(arrays=arrays)


def _widened(array: np.ndarray) -> np.ndarray:
    is_foreign = array.dtype.isbuiltin == 2
    return array.astype(np.float32) if is_foreign else array


def _read_torch_zip(path: pathlib.Path) -> Stored:
    return Stored("torch", torch_pickle.read_zip(path), {})


def _read_torch_stream(path: pathlib.Path) -> Stored:
    return Stored("torch", torch_pickle.read_stream(path), {})


def _read_safetensors(path: pathlib.Path) -> Stored:
    from efdet_jax.weights.files import safetensors

    return Stored("safetensors", *safetensors.read(path))


def _read_h5(path: pathlib.Path) -> Stored:
    from efdet_jax.weights.files import keras_h5

    return Stored("h5", keras_h5.read(path), {})


def _read_tflite(path: pathlib.Path) -> Stored:
    from efdet_jax.weights.tflite.reading import read_tflite

    return Stored("tflite", read_tflite(path.read_bytes(), path), {})


def _read_prefix(prefix: pathlib.Path) -> Stored:
    return Stored("tf_checkpoint", tf_checkpoint.read(prefix), {})


def _read_folder(folder: pathlib.Path) -> Stored:
    return _read_prefix(tf_checkpoint.prefix_in(folder))


def _read_latest(path: pathlib.Path) -> Stored:
    return _read_folder(path.parent)


def _read_index(path: pathlib.Path) -> Stored:
    if path.suffix != ".index":
        raise UsageError(
            f"{path}: is the index of a TensorFlow checkpoint, whose files belong"
            " together by name: call it PREFIX.index again, beside PREFIX.data-…"
        )
    return _read_prefix(path.with_suffix(""))


def _read_tar(path: pathlib.Path) -> Stored:
    with archives.unpacked(path, most=LARGEST) as root:
        if (root / "storages").is_file() and (root / "tensors").is_file():
            raise UsageError(
                f"{path}: is of PyTorch before 0.1.10, which is not read: load it with"
                " torch.load and save it again with torch.save"
            )
        folders = {index.parent for index in root.rglob("[!.]*.index")}
        if len(folders) != 1:
            raise UsageError(
                f"{path}: is an archive with TensorFlow checkpoints (.index) in"
                f" {len(folders)} folders, one was expected: unpack it and give the"
                " weight file"
            )
        try:
            return _read_folder(folders.pop())
        except UsageError as error:
            # The temporary folder says nothing to anybody: it stands for the archive.
            raise UsageError(str(error).replace(str(root), str(path))) from error


_Reader = Callable[[pathlib.Path], Stored]

_CHECKPOINT = "a TensorFlow checkpoint"
_MARKS: tuple[tuple[int, bytes, str, _Reader], ...] = (
    # The upper bytes of the length of its header, and the header's first. It comes
    # first because the lower bytes can be equal to any of the other marks.
    (5, b"\0\0\0{", "a .safetensors", _read_safetensors),
    (0, b"PK\x03\x04", "a PyTorch zip", _read_torch_zip),
    (0, b"\x80", "a PyTorch file of before 1.6", _read_torch_stream),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5", _read_h5),
    (4, b"TFL3", "TensorFlow Lite", _read_tflite),
    (0, b"model_checkpoint_path:", _CHECKPOINT, _read_latest),
    (0, b"\x1f\x8b", "a .tar.gz", _read_tar),
    (257, b"ustar", "a .tar", _read_tar),
)
"""Offset, the bytes there, what that tells, who reads it."""
_INDEX_END = 0xDB4775248B80FB57.to_bytes(8, "little")
"""The last bytes of a checkpoint's index, which begins with its contents."""
_SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
"""The name of a checkpoint's numbers, which have no mark at all."""

_FETCH = "fetch the file itself again"
_NO_WEIGHTS = (
    (b"version https://git-lfs", "a pointer of Git LFS", "get the file: git lfs pull"),
    (b"<", "a page of HTML or XML, as a failed download leaves it", _FETCH),
    (b"\xff\xd8\xff", "a JPEG picture", "give a weight file"),
    (b"\x89PNG", "a PNG picture", "give a weight file"),
)
"""The first bytes, what they tell, the remedy."""


def _recognise(path: pathlib.Path) -> tuple[str, _Reader]:
    """Returns what a file is and who reads it."""
    if path.is_dir():
        return _CHECKPOINT, _read_folder
    if not path.exists() and _has_index(path):
        return _CHECKPOINT, _read_prefix
    shard = _SHARD.fullmatch(path.name)
    prefix = path.with_name(shard[1]) if shard else path
    if shard and _has_index(prefix):
        return _CHECKPOINT, lambda _: _read_prefix(prefix)
    head, tail = _ends(path)
    for offset, mark, title, reader in _MARKS:
        if head.startswith(mark, offset):
            return title, reader
    if tail == _INDEX_END:
        return _CHECKPOINT, _read_index
    if shard and head:
        raise UsageError(
            f"{path}: is called like a part of a TensorFlow checkpoint, whose index is"
            f" missing: put {prefix.name}.index beside it"
        )
    raise UsageError(f"{path}: {_what_else(head)}")


def _has_index(prefix: pathlib.Path) -> bool:
    return prefix.with_name(f"{prefix.name}.index").is_file()


def _ends(path: pathlib.Path) -> tuple[bytes, bytes]:
    """Returns the first 512 and the last 8 bytes, as far as there are any."""
    try:
        with open_regular(path, most=LARGEST) as file:
            head = file.read(512)
            file.seek(max(0, file.seek(0, io.SEEK_END) - 8))
            return head, file.read(8)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path}: cannot be read ({reason}): give a weight file, or the"
            " prefix or folder of a TensorFlow checkpoint"
        ) from error


def _what_else(head: bytes) -> str:
    if not head:
        return f"is empty: {_FETCH}"
    for mark, title, remedy in _NO_WEIGHTS:
        if head.lstrip().startswith(mark):
            return f"is {title}: {remedy}"
    return (
        "is no weight file that is known: give a PyTorch .pth, a .safetensors, a Keras"
        " .h5, an EfficientDet-Lite .tflite or a TensorFlow checkpoint"
    )
