"""How a trial stands, read from its folder."""

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

from efdet_jax import lease
from efdet_jax.errors import EXIT_CODES, Diverged, OutOfMemory, UsageError
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
    config = _json(folder / "config.json").get("config", {})
    result = _json(folder / "result.json")
    logged = _last_logged(folder / "metrics.jsonl")
    steps, batch_size = config.get("steps", 0), config.get("batch_size", 0)
    step = max(logged.get("step", 0), result.get("step", 0))
    speed = logged.get("images_per_second") or math.nan
    metric = result.get("AP", result.get("top1"))
    return Standing(
        state=state,
        step=step,
        steps=steps,
        metric=math.nan if metric is None else metric,
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
    return json.loads(path.read_text()) if path.exists() else {}


def _last_logged(path: Path) -> dict:
    """Returns the last line of metrics that has a speed."""
    lines = path.read_text().splitlines() if path.exists() else []
    for line in reversed(lines):
        # The last line may be half written.
        if line.endswith("}") and "images_per_second" in (row := json.loads(line)):
            return row
    return {}


def _reason(path: Path) -> str:
    """Returns the last error of a log, or else its last line."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    last = [line.strip() for line in reversed(lines) if line.strip()]
    errors = [line for line in last if re.match(r"\w*[eE]rror\b", line)]
    return (errors + last + [""])[0]
