"""Tables of what instructions do, beside what the machine can do."""

import collections
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from profiling.places import (  # pyrefly: ignore[missing-import]
    MODULES,
    OPTIMIZER,
    OTHER,
)


class Row(NamedTuple):
    """What an instruction of the program does in one run."""

    name: str
    path: str
    module: str
    layer: str
    is_backward: bool
    count: float
    seconds: float
    operations: float
    bytes: float


class Ceilings(NamedTuple):
    """What this machine reaches, in a second."""

    operations: float
    bytes: float

    def floor(self, row: Row) -> float:
        """Returns the seconds that a row needs at the least."""
        return max(row.operations / self.operations, row.bytes / self.bytes)


COLUMNS = (
    "forward ms | backward ms | % | Gop | GB | GFLOP/s | GB/s | floor ms | time / floor"
)


def figures(rows: list[Row], total: float, ceilings: Ceilings) -> str:
    """Returns the cells of `COLUMNS` for some rows together.

    Args:
      rows: the instructions.
      total: seconds of all that there are.
      ceilings: of the machine.
    """
    took = sum(row.seconds for row in rows)
    backward = sum(row.seconds for row in rows if row.is_backward)
    done = sum(row.operations for row in rows)
    moved = sum(row.bytes for row in rows)
    floor = sum(ceilings.floor(row) for row in rows)
    cells = [
        f"{1e3 * (took - backward):.2f}",
        f"{1e3 * backward:.2f}",
        f"{100 * took / total:.1f}",
        f"{done / 1e9:.2f}",
        f"{moved / 1e9:.3f}",
        f"{done / took / 1e9:.0f}" if took and done else "",
        f"{moved / took / 1e9:.1f}" if took else "",
        f"{1e3 * floor:.2f}",
        f"{took / floor:.1f}" if floor else "",
    ]
    return " | ".join(cells)


def table(
    heading: str, groups: Mapping[str, list[Row]], total: float, ceilings: Ceilings
) -> str:
    """Returns a Markdown table with a line for each group."""
    lines = [f"| {heading} | {COLUMNS} |", "|---" + "|--:" * 9 + "|"]
    lines += [
        f"| {name} | {figures(rows, total, ceilings)} |"
        for name, rows in groups.items()
    ]
    return "\n".join(lines)


def grouped(rows: list[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Returns rows by key, the slowest group first."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    took = {name: sum(row.seconds for row in group) for name, group in groups.items()}
    return {name: groups[name] for name in sorted(groups, key=lambda name: -took[name])}


def in_order(name: str) -> tuple[int, str, int]:
    """Returns what sorts modules as the network runs them."""
    part, _, inner = name.partition("/")
    places = (*MODULES, OPTIMIZER, OTHER)
    # The rest of a part comes last, its stem first.
    number = re.search(r"\d+", inner)
    return (
        places.index(part),
        "z" if not inner else "block" if inner != "stem" else "a",
        int(number[0]) if number else 0,
    )


def report(rows: list[Row], ceilings: Ceilings, top: int) -> str:
    """Returns the tables of a profile."""
    total = sum(row.seconds for row in rows)
    modules = grouped(rows, lambda row: row.module)
    modules = {name: modules[name] for name in sorted(modules, key=in_order)}
    slowest = sorted(rows, key=lambda row: -row.seconds)[:top]
    named = {f"`{row.name}` {row.layer}: {_shown(row.path)}": [row] for row in slowest}
    parts = grouped(rows, lambda row: row.module.partition("/")[0])
    layers = grouped(rows, lambda row: row.layer)
    return "\n\n".join(
        [
            table("part", parts | {"all": rows}, total, ceilings),
            table("layers", layers | {"all": rows}, total, ceilings),
            table("module", modules, total, ceilings),
            table("instruction", named, total, ceilings),
        ]
    )


def _shown(path: str) -> str:
    """Returns what matters of a path, not too long for a cell."""
    return re.sub(r"^jit\(\w+\)/|cond/branch_\d+_fun/", "", path)[-70:]
