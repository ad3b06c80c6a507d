"""Telling a folder that is as it was written from one that is not."""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Collection

from efdet_jax.errors import UsageError
from efdet_jax.records import read_record

_NAME = "seal.json"
_STEP = re.compile(r"0|[1-9][0-9]*")


def steps(folder: pathlib.Path) -> list[int]:
    """Returns the steps that sealed folders in a folder have for names, in order."""
    names = (path.name for path in folder.glob("*"))
    return sorted(int(name) for name in names if _STEP.fullmatch(name))


def write_seal(folder: pathlib.Path, *, besides: Collection[str]) -> None:
    """Writes down what a folder holds, once all of that has reached the disk.

    Args:
      folder: what is sealed.
      besides: names in it that are not, because they will still change.
    """
    files = {
        str(path.relative_to(folder)): _measure(path, to_disk=True)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in besides
    }
    with (folder / _NAME).open("w") as seal:
        json.dump({"files": files}, seal)
        seal.flush()
        os.fsync(seal.fileno())


def flaw(folder: pathlib.Path) -> str | None:
    """Returns what is wrong with a sealed folder, None if nothing is.

    A file that is missing, has another size or another SHA-256 than its seal says; or
    a seal that is missing, cannot be read or names a file elsewhere; a pipe or a link
    to a folder, of which no seal says anything. Files that came later are no flaw.
    """
    try:
        for path in folder.rglob("*"):
            if path.is_symlink() and path.is_dir():
                return f"{path.name} is a link to a folder"
            if not (path.is_file() or path.is_dir()):
                return f"{path.name} is neither a file nor a folder"
        files = read_record(folder / _NAME)["files"]
        for name, (size, digest) in files.items():
            inner = pathlib.PurePath(name)
            if inner.is_absolute() or ".." in inner.parts:
                return f"{_NAME} names {name!r}, which is not in the folder"
            path = folder / inner
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes, not {size}"
            if _measure(path, to_disk=False)[1] != digest:
                return f"{name} has another content than was written"
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    except UsageError as error:
        return str(error)
    except (AttributeError, KeyError, TypeError, ValueError):
        return f"{_NAME} is broken"
    return None


def _measure(path: pathlib.Path, *, to_disk: bool) -> tuple[int, str]:
    """Returns size and SHA-256 of a file, which is on disk then if it is to be."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if to_disk:
            os.fsync(file.fileno())
    return path.stat().st_size, digest
