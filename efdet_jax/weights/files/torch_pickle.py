"""PyTorch's files, read without PyTorch and without running what they hold.

Both formats of `torch.save` are a pickle that describes tensors as views of storages,
and the bytes of those storages: since 1.6 as members of a zip, before that in one
stream.
Source: torch/serialization.py and torch/_utils.py of PyTorch 2.13.
"""

import functools
import io
import math
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp
from jaxtyping import Shaped

from efdet_jax.errors import UsageError
from efdet_jax.weights.files.inert_pickle import Call, Name, load

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_BFLOAT16 = np.dtype(jnp.bfloat16)
_STORAGES = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": _BFLOAT16,
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}
_MOST_AXES = 64
"""Of an array of NumPy's."""
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_EXPECTED = {
    *_STORAGES,
    _TENSOR,
    _PARAMETER,
    "collections.OrderedDict",
    "torch.Size",
    "argparse.Namespace",  # the command line, beside the weights of training scripts
}

_STATE_DICTS = ("state_dict_ema", "state_dict", "model_state_dict", "model")
"""Where training scripts keep it, the one to evaluate first."""
_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and a model around the model put before names."""


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    length: int


def read_zip(path: pathlib.Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Returns the tensors of a state_dict by name; bfloat16 becomes float32.

    Of a checkpoint that holds several, the averaged weights are taken. A prefix of all
    names that comes from a wrapper ("module.", "model.") is taken off. Arrays can be
    read-only and share memory, as the tensors did.

    Raises:
      UsageError: The file wants Python objects made that are no tensors, or it holds no
        state_dict.
      Exception: It is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        root = _root(archive, path)
        order = f"{root}/byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise UsageError(_big_endian(path))
        pickled = io.BytesIO(archive.read(f"{root}/data.pkl"))
        checkpoint = load(pickled, path, expected=_EXPECTED, refer=_storage)
        return _tensors(
            checkpoint, path, lambda storage: archive.read(f"{root}/data/{storage.key}")
        )


def _root(archive: zipfile.ZipFile, path: pathlib.Path) -> str:
    """Returns the folder in which torch.save has put everything."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") for name in names):
        raise UsageError(
            f"{path}: is a TorchScript program, which is not run here: load it with"
            " torch.jit.load and save its state_dict()"
        )
    roots = [n.removesuffix("/data.pkl") for n in names if n.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UsageError(
            f"{path}: is a zip without the data.pkl of a PyTorch file: unpack it and"
            " give what it holds (a .keras file: save the model as .h5 instead)"
        )
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise UsageError(
                f"{path}: its member {member.filename[:100]!r} is compressed, as"
                " torch.save never does it: fetch the original file"
            )
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members claim more bytes than it has")
    return roots[0]


def read_stream(path: pathlib.Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Returns what `read_zip` does, of the format before 1.6.

    Raises:
      UsageError: As `read_zip`, or it is another pickle than one of PyTorch.
      Exception: It is damaged.
    """
    content = path.read_bytes()
    file = io.BytesIO(content)
    storages: dict[str, _Storage] = {}

    def refer(persistent_id: Any) -> _Storage:
        storage = _storage(persistent_id)
        if storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"its storage {storage.key!r} has two types or lengths")
        return storage

    def next_pickle() -> Any:
        return load(file, path, expected=_EXPECTED, refer=refer)

    if next_pickle() != _MAGIC:
        raise UsageError(
            f"{path}: is a Python pickle, which is not run here, and no PyTorch file:"
            " save a state_dict with torch.save"
        )
    if next_pickle() != _PROTOCOL:
        raise ValueError(f"its protocol is another than {_PROTOCOL}")
    if next_pickle()["little_endian"] is not True:
        raise UsageError(_big_endian(path))
    checkpoint = next_pickle()
    raw: dict[str, memoryview] = {}
    for key in next_pickle():
        (length,) = struct.unpack("<q", file.read(8))
        if length != storages[key].length:
            raise ValueError(f"its storage {key!r} has another length than its tensors")
        start = file.tell()
        end = file.seek(length * storages[key].dtype.itemsize, io.SEEK_CUR)
        raw[key] = memoryview(content)[start:end]
    return _tensors(checkpoint, path, lambda storage: raw[storage.key])


def _big_endian(path: pathlib.Path) -> str:
    return (
        f"{path}: its numbers are big-endian, which is not read: load it where it was"
        " made and save it as .safetensors"
    )


def _storage(persistent_id: Any) -> _Storage:
    match persistent_id:
        case ("storage", Name(kind), str(key), str(), int(length)) if length >= 0:
            return _Storage(_STORAGES[kind], key, length)
        case ("storage", Name(kind), str(key), str(), int(length), None) if length >= 0:
            return _Storage(_STORAGES[kind], key, length)
    raise ValueError("its pickle refers to what is no storage")


def _tensors(
    checkpoint: Any,
    path: pathlib.Path,
    fetch: Callable[[_Storage], bytes | memoryview],
) -> dict[str, np.ndarray]:
    @functools.cache  # Many tensors can be views of one storage.
    def numbers(storage: _Storage) -> np.ndarray:
        raw = fetch(storage)
        if len(raw) != storage.length * storage.dtype.itemsize:
            raise ValueError(f"its storage {storage.key!r} has {len(raw)} bytes")
        array = np.frombuffer(raw, storage.dtype)
        return array.astype(np.float32) if storage.dtype == _BFLOAT16 else array

    tensors = {
        name: _view(tensor, numbers, f"{path}: its tensor {name[:100]!r}")
        for name, tensor in _state_dict(checkpoint).items()
        if isinstance(tensor, Call) and tensor.function in (_TENSOR, _PARAMETER)
    }
    if not tensors:
        raise UsageError(
            f"{path}: is a PyTorch file without tensors by name: save"
            " model.state_dict() with torch.save"
        )
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {n.removeprefix(prefix): array for n, array in tensors.items()}
    return tensors


def _state_dict(checkpoint: Any) -> dict[str, Any]:
    if not isinstance(checkpoint, dict):
        return {}
    for key in _STATE_DICTS:
        if isinstance(checkpoint.get(key), dict):
            return checkpoint[key]
    return checkpoint


def _view(
    tensor: Call, numbers: Callable[[_Storage], np.ndarray], title: str
) -> np.ndarray:
    """Returns what torch.as_strided would, after proof that it stays in its storage."""
    if tensor.function == _PARAMETER:
        tensor = tensor.arguments[0]
    match tensor.arguments:
        case (_Storage() as storage, int(offset), tuple(size), tuple(stride), _, _):
            all_ = numbers(storage)
        case _:
            raise UsageError(
                f"{title} is of a kind that is not read: save it as float32"
            )
    # The product of a million sizes alone could take hours.
    is_shape = len(size) == len(stride) <= _MOST_AXES
    numbers_ = (offset, *size, *stride) if is_shape else ()
    if not numbers_ or not all(isinstance(n, int) and n >= 0 for n in numbers_):
        raise UsageError(f"{title} has sizes that are no counts: fetch the file again")
    if not (count := math.prod(size)):
        return np.empty(size, all_.dtype)
    steps = zip(size, stride, strict=True)
    last = offset + sum((n - 1) * step for n, step in steps)
    if last >= len(all_) or count > len(all_):
        raise UsageError(
            f"{title} reaches beyond its storage of {len(all_)} numbers: fetch the file"
            " again"
        )
    width = all_.itemsize
    return np.ndarray(
        size, all_.dtype, all_, offset * width, [step * width for step in stride]
    )
