"""What a run leaves for people and programs to read.

config.json    the resolved config and the versions of the packages
metrics.jsonl  every logged scalar, a line per step
result.json    figures of the last evaluation and the state of the run
pictures/      what was found beside the truth, of the last evaluation
events.out.*   the same scalars and pictures for TensorBoard
"""

import importlib.metadata
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from efdet_jax.errors import UsageError
from efdet_jax.pictures import write_pictures
from efdet_jax.replacing import replace_text

_PACKAGES = ("efdet-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")

_SAME_MODEL = ("model.remat",)
"""Keys of the model that say how it is computed, not what."""


class Journal:
    """Writes the files of one run; a workdir has one writer."""

    def __init__(self, workdir: pathlib.Path):
        self.workdir = workdir
        self._events: Any = None

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
        if not path.exists():
            return []
        before = _flat(json.loads(path.read_text())["config"])
        now = _flat(json.loads(config.to_json()))
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

    def start(self, config: ConfigDict, *, from_step: int) -> None:
        """Writes the config, and forgets what was logged after `from_step`.

        Resuming at a checkpoint repeats the steps after it, which must not be there
        twice.
        """
        text = {"config": json.loads(config.to_json()), "versions": versions()}
        replace_text(self.workdir / "config.json", json.dumps(text, indent=2) + "\n")
        log = self.workdir / "metrics.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= from_step]
        replace_text(log, "".join(f"{line}\n" for line in kept))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs scalars to the file and to TensorBoard."""
        with (self.workdir / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({"step": step} | _finite(values)) + "\n")
        self._tensorboard().write_scalars(step, values)

    def pictures(self, step: int, pictures: Sequence[np.ndarray]) -> list[str]:
        """Writes pictures to files and to TensorBoard; returns the files' paths."""
        folder = self.workdir / "pictures"
        folder.mkdir(exist_ok=True)
        named = {f"pictures/{i:02d}": image[None] for i, image in enumerate(pictures)}
        self._tensorboard().write_images(step, named)
        return write_pictures(str(folder), pictures)

    def detections(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes detections as a COCO results file; the newest stay."""
        replace_text(self.workdir / "detections.json", json.dumps(rows) + "\n")

    def result(self, values: Mapping[str, Any]) -> None:
        """Replaces the result."""
        replace_text(
            self.workdir / "result.json", json.dumps(_finite(values), indent=2) + "\n"
        )

    def amend_result(self, **values: Any) -> None:
        """Changes some values of the result, and leaves the others."""
        path = self.workdir / "result.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        self.result(before | values)

    def close(self) -> None:
        """Waits until everything is on disk."""
        if self._events is not None:
            self._events.close()

    def _tensorboard(self) -> Any:
        if self._events is None:
            # The only import of TensorFlow, seconds long: it must not delay the first
            # training step, nor those who never log.
            # Else it announces its convolutions, of which the writer has none.
            os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
            from clu import metric_writers

            writer = metric_writers.SummaryWriter(str(self.workdir))
            self._events = metric_writers.AsyncWriter(writer)
        return self._events


def versions() -> dict[str, str]:
    """Returns the versions of the packages that decide numbers."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def prepare_workdir(path: str) -> pathlib.Path:
    """Makes the folder of a run and proves that it can be written.

    Raises:
      UsageError: if it cannot.
    """
    workdir = pathlib.Path(path)
    probe = workdir / ".probe"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--workdir={path} cannot be written ({error.strerror}): choose a folder "
            "of your own"
        ) from error
    return workdir


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values with null where JSON has no number (nan, infinity)."""
    return {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in values.items()
    }


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns {dotted key: value} of nested sections."""
    flat = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
