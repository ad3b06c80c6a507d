"""What a run leaves for people and programs to read.

config.json    the resolved config and the versions of the packages
metrics.jsonl  every logged scalar, a line per step
result.json    figures of the last evaluation and the state of the run
pictures/      what was found beside the truth, of the last evaluation
events.out.*   the same scalars and pictures for TensorBoard
"""

import contextlib
import importlib.metadata
import json
import logging
import math
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from efdet_jax import events
from efdet_jax.errors import UsageError
from efdet_jax.pictures import as_png
from efdet_jax.records import read_record
from efdet_jax.replacing import replace_bytes, replace_text

_LOG = logging.getLogger(__name__)

_PACKAGES = ("efdet-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")

_SAME_MODEL = ("model.remat",)
"""Keys of the model that say how it is computed, not what."""


class Journal:
    """Writes the files of one run; a workdir has one writer.

    Once it has started, what cannot be written, for want of room perhaps, is told of,
    once for each file, and is missing: training matters more.
    """

    def __init__(self, workdir: pathlib.Path, *, writes: bool):
        """Opens the journal of a folder that exists; writes nothing yet.

        Args:
          workdir: the folder.
          writes: whether anything is written: only one process of a run does.
        """
        self.workdir = workdir
        self._writes = writes
        self._events = events.new_name()
        self._first_step = 0
        self._missing: set[str] = set()

    def check_resumable(self, config: ConfigDict) -> list[tuple[str, Any, Any]]:
        """Checks that what the workdir holds was trained with the same model.

        What makes other parameters or another optimizer of them must be the same; all
        else may change from one part of a run to the next.

        Returns:
          (key, value before, value now) of what has changed.

        Raises:
          UsageError: naming the keys that must not differ, and do.
        """
        path = self.workdir / "config.json"
        try:
            written = read_record(path)
        except FileNotFoundError:
            return []
        if not isinstance(written.get("config"), dict):
            raise UsageError(
                f"{path} is damaged (it has no config): bring it back from a copy, or "
                "use another --workdir"
            )
        before = flat(written["config"])
        now = flat(json.loads(config.to_json()))
        changed = [
            (key, before.get(key), now.get(key))
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        fixed = [
            f"config.{key}={was}, not {is_now}"
            for key, was, is_now in changed
            if (key.startswith("model.") and key not in _SAME_MODEL)
            or key in ("task", "optimizer.name")
        ]
        if fixed:
            raise UsageError(
                f"--workdir={self.workdir} holds a run with {'; '.join(fixed)}: use "
                "another --workdir"
            )
        return changed

    def start(
        self, config: ConfigDict, *, from_step: int, evaluates_again: bool = False
    ) -> None:
        """Writes the config, and forgets what was logged after `from_step`.

        Resuming at a checkpoint repeats the steps after it, which must not be there
        twice. A line that is only half there is forgotten too.

        Args:
          config: of the run.
          from_step: of the checkpoint.
          evaluates_again: whether the run begins with the evaluation of that step.
        """
        self._first_step = from_step + 1
        if not self._writes:
            return
        text = {"config": json.loads(config.to_json()), "versions": versions()}
        replace_text(self.workdir / "config.json", json.dumps(text, indent=2) + "\n")
        log = self.workdir / "metrics.jsonl"
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        kept = [line for line in lines if _stays(line, from_step, evaluates_again)]
        replace_text(log, "".join(f"{line}\n" for line in kept))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs scalars to the file and to TensorBoard."""
        if not self._writes:
            return
        line = json.dumps({"step": step} | _finite(values)) + "\n"
        with self._dispensable("metrics.jsonl"):
            _append(self.workdir / "metrics.jsonl", line.encode())
        self._tell_tensorboard(
            (step, events.scalar(name, value)) for name, value in values.items()
        )

    def pictures(self, step: int, pictures: Sequence[np.ndarray]) -> None:
        """Writes pictures to files and to TensorBoard."""
        if not self._writes:
            return
        files = {f"pictures/{i:02d}": as_png(each) for i, each in enumerate(pictures)}
        with self._dispensable("pictures"):
            (self.workdir / "pictures").mkdir(exist_ok=True)
            for name, png in files.items():
                replace_bytes(self.workdir / f"{name}.png", png)
        self._tell_tensorboard(
            (step, events.image(name, png)) for name, png in files.items()
        )

    def detections(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes detections as a COCO results file; the newest stay."""
        if not self._writes:
            return
        with self._dispensable("detections.json"):
            replace_text(self.workdir / "detections.json", json.dumps(rows) + "\n")

    def result(self, values: Mapping[str, Any]) -> None:
        """Replaces the result."""
        if not self._writes:
            return
        text = json.dumps(_finite(values), indent=2) + "\n"
        with self._dispensable("result.json"):
            replace_text(self.workdir / "result.json", text)

    def amend_result(self, **values: Any) -> None:
        """Changes some values of the result, and leaves the others."""
        try:
            before = read_record(self.workdir / "result.json")
        except (FileNotFoundError, UsageError):
            before = {}
        self.result(before | values)

    @contextlib.contextmanager
    def _dispensable(self, name: str) -> Iterator[None]:
        """Lets the run go on without what could not be written."""
        try:
            yield
        except OSError as error:
            if name not in self._missing:
                self._missing.add(name)
                path = self.workdir / name
                _LOG.warning("%s lacks something (%s): make room", path, error)

    def _tell_tensorboard(self, steps: events.Steps) -> None:
        path = self.workdir / self._events
        content = events.records(steps)
        if not path.exists():
            content = events.beginning(self._first_step) + content
        with self._dispensable(self._events):
            _append(path, content)


def versions() -> dict[str, str]:
    """Returns the versions of the packages that decide numbers."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def prepare_workdir(path: str, *, flag: str = "--workdir") -> pathlib.Path:
    """Makes a folder for what a command writes and proves that it can be written.

    Args:
      path: of the folder.
      flag: which names it.

    Raises:
      UsageError: if it cannot.
    """
    workdir = pathlib.Path(path)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir) as probe:
            # A file without content would find room on a full disk.
            probe.write(bytes(4096))
    except OSError as error:
        raise UsageError(
            f"{flag}={path} cannot be written ({error.strerror}): choose a folder "
            "of your own"
        ) from error
    return workdir


def _append(path: pathlib.Path, content: bytes) -> None:
    """Adds something to a file, or nothing of it."""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            file.truncate(before)
            raise


def _stays(line: str, from_step: int, evaluates_again: bool) -> bool:
    """Says whether a line is of what a run that goes on does not do again."""
    try:
        row = json.loads(line)
        step = row["step"]
    # A run that was killed may have left half of a line.
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    if not isinstance(step, int | float) or step > from_step:
        return False
    return step < from_step or not evaluates_again or "images_per_second" in row


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values with null where JSON has no number (nan, infinity)."""
    return {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in values.items()
    }


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns {dotted key: value} of nested sections."""
    found = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
