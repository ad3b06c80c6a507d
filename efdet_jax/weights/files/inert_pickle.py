"""Pickles read as data: nothing that they name is imported, made or called.

A pickle is a program for a small stack machine. This is that machine without its
dangerous half: what it is told to call comes back as a `Call` for the reader to judge,
and a name that the reader does not expect ends the reading.
"""

import pathlib
import pickletools
from collections.abc import Callable, Collection
from typing import Any, BinaryIO, NamedTuple

from efdet_jax.errors import UsageError

_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}
"""Instructions that push the value that is written behind them."""
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_TAKE_TO_MARK = {"TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS"}
"""Instructions that take from the stack all that lies above the last mark."""
_TAKE = {
    **{"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2},
    **{"STACK_GLOBAL": 2, "REDUCE": 2, "NEWOBJ": 2, "BUILD": 1, "BINPERSID": 1},
}
"""How many values the others take."""


class Name(NamedTuple):
    """A Python object that a pickle names."""

    dotted: str


class Call(NamedTuple):
    """What a pickle wants made by calling `function`, which nobody has called."""

    function: str
    arguments: Any


def load(
    file: BinaryIO,
    path: pathlib.Path,
    *,
    expected: Collection[str],
    refer: Callable[[Any], Any],
) -> Any:
    """Reads one pickle of any protocol, and leaves `file` behind its end.

    An OrderedDict becomes a dict, and dicts keep what stands under strings only. What a
    pickle sets as attributes of an object is dropped.

    Args:
      file: The bytes; reading starts where it stands.
      path: What to call the file in an error.
      expected: Python objects that may be named, such as "collections.OrderedDict".
      refer: Makes the object that a persistent id stands for.

    Raises:
      UsageError: The pickle names any other Python object.
      Exception: It is damaged, or has an instruction that is not known here.
    """

    def named(dotted: str) -> Name:
        if dotted not in expected:
            raise UsageError(
                f"{path}: holds the Python object {dotted[:100]!r}, which loading would"
                " run, and only plain tensors are read: where you trust it, save its"
                " state_dict alone"
            )
        return Name(dotted)

    return _run(file, named, refer)


def _run(
    file: BinaryIO, named: Callable[[str], Name], refer: Callable[[Any], Any]
) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    for instruction, value, _ in pickletools.genops(file):
        code = instruction.name
        start = (
            marks.pop() if code in _TAKE_TO_MARK else len(stack) - _TAKE.get(code, 0)
        )
        taken = stack[start:]
        del stack[start:]
        match code:
            case "PROTO" | "FRAME" | "BUILD" | "STOP":
                pass
            case "MARK":
                marks.append(len(stack))
            case _ if code in _LITERALS:
                stack.append(value)
            case _ if code in _CONSTANTS:
                stack.append(_CONSTANTS[code]())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(taken))
            case "LIST":
                stack.append(taken)
            case "APPEND" | "APPENDS":
                stack[-1].extend(taken)
            case "DICT":
                stack.append(_with_items({}, taken))
            case "SETITEM" | "SETITEMS":
                _with_items(stack[-1], taken)
            case "GLOBAL" | "INST":
                stack.append(named(str(value).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                stack.append(named(".".join(taken)))
            case "REDUCE" | "NEWOBJ":
                stack.append(_called(*taken))
            case "BINPERSID":
                stack.append(refer(*taken))
            case _:
                raise ValueError(f"its pickle has the instruction {code}")
    return stack.pop()


def _with_items(target: dict[str, Any], pairs: list[Any]) -> dict[str, Any]:
    # Other keys would have to be hashed, which nested tuples can drag out for ever.
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if isinstance(key, str):
            target[key] = value
    return target


def _called(function: Name, arguments: Any) -> Any:
    if function.dotted == "collections.OrderedDict" and arguments == ():
        return {}
    return Call(function.dotted, arguments)
