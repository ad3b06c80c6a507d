"""Reading a StableHLO bundle, with JAX alone.

A bundle is a zip file, so that a script without this package can read it in ten lines
(`docs/export.md`). Nothing of it is executed but its StableHLO, and of that no call of
what lies outside of it.
"""

import contextlib
import json
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax import export

from efdet_jax.errors import UsageError
from efdet_jax.regular import open_regular

KIND, VERSION = "efdet_jax detector", 1
FUNCTION, METADATA = "detector.stablehlo", "metadata.json"
"""Names in the zip file."""

_LARGEST = 4 << 30
"""Bytes of a bundle."""
_MOST_COMPRESSED = 16 << 20
"""Bytes that a part may have if the file holds fewer of it: text, and no weights."""
_OWN_CALLS = {"Sharding", "shape_assertion", "stablehlo.dynamic_top_k", "mhlo.topk"}
"""What JAX itself writes as calls, and XLA resolves before it compiles."""
_DAMAGED = (
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class Bundle(NamedTuple):
    """A detector read from a file."""

    detect: Callable[[Any], dict[str, jax.Array]]
    """uint8 images [b h w 3] of the network's size → `boxes` [b d 4] in pixels of them,
    `scores` [b d] and `classes` [b d]; rows beyond the last have score 0."""
    metadata: dict[str, Any]
    """See `exporting.metadata`."""


def is_bundle(path: str | pathlib.Path) -> bool:
    """Says whether a file is a bundle, or was one; weights may be zip files as well."""
    try:
        with _opened(path) as archive:
            return METADATA in archive.namelist()
    except _DAMAGED:
        return False


def read_bundle(path: str | pathlib.Path) -> Bundle:
    """Reads what `efdet_jax.export` wrote.

    Raises:
      UsageError: the file is none, or it is damaged.
    """
    try:
        with _opened(path) as archive:
            metadata = json.loads(_member(archive, METADATA))
            serialized = _member(archive, FUNCTION)
        of_kind = metadata["kind"], metadata["version"]
    except (*_DAMAGED, TypeError) as error:
        raise UsageError(
            f"{path}: is no StableHLO bundle, or a damaged one ({_line(error)}): "
            "export it again with efdet export"
        ) from error
    if of_kind != (KIND, VERSION):
        raise UsageError(
            f"{path}: is of kind and version {of_kind}, and read here is "
            f"{(KIND, VERSION)}: export it again with this version"
        )
    exported = _function(path, serialized)
    if not _takes_images(exported, metadata.get("image_size")):
        raise UsageError(
            f"{path}: its program takes other images than its metadata say: export it "
            "again"
        )
    return Bundle(jax.jit(exported.call), metadata)


@contextlib.contextmanager
def _opened(path: str | pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip file for reading; raises what `open_regular` and `zipfile` do."""
    with open_regular(path, most=_LARGEST) as file, zipfile.ZipFile(file) as archive:
        yield archive


def _takes_images(exported: export.Exported, size: Any) -> bool:
    """Says whether a program takes images of a size that a stranger states."""
    taken = [(each.shape[1:], each.dtype.name) for each in exported.in_avals]
    return isinstance(size, list) and taken == [((*size, 3), "uint8")]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Returns what a zip file has under a name.

    Raises:
      KeyError: it has nothing.
      ValueError: little in the file would become much.
    """
    about = archive.getinfo(name)
    if about.file_size > max(about.compress_size, _MOST_COMPRESSED):
        raise ValueError(f"{name} claims {about.file_size:,} bytes")
    return archive.read(about)


def _function(path: str | pathlib.Path, serialized: bytes) -> export.Exported:
    """Returns the function that a bundle holds, found to call nothing foreign."""
    try:
        exported = export.deserialize(bytearray(serialized))
        text = exported.mlir_module()
    # Bytes of somebody else's may make the parser raise anything.
    except Exception as error:
        raise UsageError(
            f"{path}: {FUNCTION} cannot be read by JAX {jax.__version__} "
            f"({_line(error)}): export it again"
        ) from error
    # Any call is counted, also one that is written in a way not thought of here.
    calls = re.findall(r"custom_call @([\w.]+)", text)
    if text.count("custom_call") != len(calls) or not _OWN_CALLS.issuperset(calls):
        foreign = sorted(set(calls) - _OWN_CALLS)
        raise UsageError(
            f"{path}: its program calls {', '.join(foreign) or 'what has no name'}, "
            "which is not in the file: do not use this bundle"
        )
    return exported


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
