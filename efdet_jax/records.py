"""Reading the small JSON files of a run's folder, whoever has written there last."""

import json
import pathlib
import sys
from typing import Any

from efdet_jax.errors import UsageError
from efdet_jax.regular import read_regular

LARGEST = 2**28
"""Bytes; `sweep.json` of a thousand trials has one million."""
DEEPEST = 100
"""Levels of lists and objects."""


def read_record(path: pathlib.Path) -> dict[str, Any]:
    """Returns the object that a JSON file holds.

    Raises:
      FileNotFoundError: there is no such file.
      UsageError: it is damaged, or holds something else.
    """
    try:
        document = json.loads(read_regular(path, most=LARGEST))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(path, error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(path, "it holds no object")
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        if not level:
            return document
        level = [inner for each in level for inner in _inside(each)]
    raise _damaged(path, f"it is nested more than {DEEPEST} levels deep")


def is_number(value: object) -> bool:
    """Says whether a value is a number that a float can be, and no truth value."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) <= sys.float_info.max


def _inside(value: Any) -> list[Any]:
    """Returns what a list or an object holds."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _damaged(path: pathlib.Path, reason: str | None) -> UsageError:
    return UsageError(
        f"{path} is damaged ({reason}): bring it back from a copy, or remove it"
    )
