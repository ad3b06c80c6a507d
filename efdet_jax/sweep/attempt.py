"""One attempt at a trial: `python -m efdet_jax.sweep.attempt FOLDER ARGUMENTS...`.

Runs the main job with these arguments, holds the lease of its folder meanwhile, and
writes down how it ended. Every launcher starts trials by it, so what became of one is
read from its folder and nowhere else.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from efdet_jax import lease
from efdet_jax.errors import UsageError
from efdet_jax.memory import keep_memory
from efdet_jax.records import read_record
from efdet_jax.replacing import replace_text
from efdet_jax.seals import steps

CRASHED = 70
"""The exit code of an error that nobody foresaw; 1 is that of a run that diverged."""
BUSY = 75
"""The exit code when somebody else is at it."""


def read(folder: Path) -> dict[str, Any]:
    """Returns what is known of the attempts in a folder.

    `attempts`: how many were begun. `exit_code`: of the last one, None while it runs or
    if it was killed. `step`: of the newest checkpoint when it began. `fruitless`: how
    many in a row began at that same step.
    """
    path = folder / "attempt.json"
    try:
        record = read_record(path)
    except FileNotFoundError:
        return {"attempts": 0, "exit_code": None, "step": 0, "fruitless": 0}
    match record:
        case {
            "attempts": int(),
            "exit_code": int() | None,
            "step": int(),
            "fruitless": int(),
        }:
            return record
    raise UsageError(f"{path} is damaged: remove it, and the trial is tried afresh")


def _write(folder: Path, record: dict[str, Any]) -> None:
    replace_text(folder / "attempt.json", json.dumps(record))


def forgive(folder: Path) -> None:
    """Lets a trial that was given up be tried again."""
    _write(folder, read(folder) | {"exit_code": None, "fruitless": 0})


def newest_step(folder: Path) -> int:
    """Returns the step of the newest checkpoint, 0 if there is none."""
    return max(steps(folder / "checkpoints"), default=0)


def main(folder: Path, arguments: list[str]) -> int:
    """Runs the main job once; returns its exit code."""
    try:
        with lease.held(folder):
            before = read(folder)
            step = newest_step(folder)
            is_fruitless = before["attempts"] > 0 and step == before["step"]
            record = {
                "attempts": before["attempts"] + 1,
                "exit_code": None,
                "step": step,
                "fruitless": before["fruitless"] + 1 if is_fruitless else 1,
            }
            _write(folder, record)
            code = _run([*arguments, f"--workdir={folder}"])
            _write(folder, record | {"exit_code": code})
            return code
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return BUSY


def _run(arguments: list[str]) -> int:
    # Loads JAX, which reads its cache's place from the environment.
    from efdet_jax import main as main_job

    try:
        return main_job.main(["efdet_jax.main", *arguments])
    except Exception:
        traceback.print_exc()
        return CRASHED


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    _folder = Path(sys.argv[1])
    os.environ.setdefault(
        "JAX_COMPILATION_CACHE_DIR",
        str(_folder.parent.absolute() / "compilation_cache"),
    )
    sys.exit(main(_folder, sys.argv[2:]))
