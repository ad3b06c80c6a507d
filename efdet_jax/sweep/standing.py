"""How a trial stands, read from its folder."""

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from efdet_jax import lease
from efdet_jax.errors import EXIT_CODES, Diverged, OutOfMemory, UsageError
from efdet_jax.records import is_number, read_record
from efdet_jax.sweep import attempt

MOST_FRUITLESS = 3
"""Attempts that may die in a row without a new checkpoint between them."""

ENDED = {"finished", "diverged", "out_of_memory", "refused", "failed"}
"""States that no further attempt would change."""

_BY_CODE = {
    0: "finished",
    EXIT_CODES[Diverged]: "diverged",
    EXIT_CODES[OutOfMemory]: "out_of_memory",
    EXIT_CODES[UsageError]: "refused",
}


class Standing(NamedTuple):
    """A row of the live table."""

    state: str
    """"waiting", "running", "stopped" (to be gone on with) or one of `ENDED`."""
    step: int
    steps: int
    """0 until the first attempt has begun."""
    metric: float
    """AP, or top-1 of a classifier; not a number until the first evaluation."""
    images_per_second: float
    seconds_left: float
    """Of training; not a number where that cannot be told."""
    attempts: int
    reason: str
    """The last error of the log, if it did not end well."""


def read(folder: Path) -> Standing:
    """Returns how the trial of a folder stands."""
    record = attempt.read(folder)
    state = _state(folder, record)
    config = _numbers(_json(folder / "config.json").get("config"))
    result = _numbers(_json(folder / "result.json"))
    logged = _last_logged(folder / "metrics.jsonl")
    steps, batch_size = int(config.get("steps", 0)), config.get("batch_size", 0)
    step = int(max(logged.get("step", 0), result.get("step", 0)))
    speed = logged.get("images_per_second") or math.nan
    return Standing(
        state=state,
        step=step,
        steps=steps,
        metric=result.get("AP", result.get("top1", math.nan)),
        images_per_second=speed,
        seconds_left=(steps - step) * batch_size / speed,
        attempts=record["attempts"],
        reason=_reason(folder / "log.txt") if state in ENDED - {"finished"} else "",
    )


def _state(folder: Path, record: dict) -> str:
    if lease.holder(folder):
        return "running"
    if not record["attempts"]:
        return "waiting"
    code = record["exit_code"]
    if code in _BY_CODE:
        return _BY_CODE[code]
    return "failed" if record["fruitless"] >= MOST_FRUITLESS else "stopped"


def _json(path: Path) -> dict:
    try:
        return read_record(path)
    except (FileNotFoundError, UsageError):
        return {}


def _numbers(values: Any) -> dict[str, float]:
    """Returns the numbers among named values; a run writes null for what is none."""
    named = values.items() if isinstance(values, dict) else ()
    return {key: float(value) for key, value in named if is_number(value)}


def _last_logged(path: Path) -> dict[str, float]:
    """Returns the numbers of the last line of metrics that has a speed."""
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    for line in reversed(lines):
        # The last line may be half written.
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and "images_per_second" in row:
            return _numbers(row)
    return {}


def _reason(path: Path) -> str:
    """Returns the last error of a log, or else its last line."""
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    last = [line.strip() for line in reversed(lines) if line.strip()]
    errors = [line for line in last if re.match(r"\w*[eE]rror\b", line)]
    return (errors + last + [""])[0]
