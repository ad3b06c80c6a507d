"""What a run was and how it went, for its page."""

import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from efdet_jax.config import get_config
from efdet_jax.journal import flat
from efdet_jax.pages.images import panel
from efdet_jax.pages.page import Chapter
from efdet_jax.pages.tables import Table, three_decimals
from efdet_jax.progress import duration
from efdet_jax.report.plots import draw_series
from efdet_jax.report.records import Series
from efdet_jax.scaling import SOURCES

_MEANINGS = {
    "AP": "mean over IoU 0.50 to 0.95 and classes",
    "AP50": "from IoU 0.50 on a box is right",
    "AP75": "from IoU 0.75 on",
    "APs": "of objects below 32 x 32 pixels",
    "APm": "of objects from there to 96 x 96 pixels",
    "APl": "of larger objects",
    "AR1": "objects found with one box an image",
    "AR10": "with ten",
    "AR100": "with a hundred",
}

_PANELS: Mapping[str, tuple[tuple[str, ...], dict[str, bool]]] = {
    "Loss": (("loss", "class_loss", "box_loss", "l2_loss"), {"log": True}),
    "Validation": (("AP", "AP50", "AP75"), {}),
    "Learning rate": (("learning_rate",), {}),
    "Norm of the gradient": (("gradient_norm",), {"log": True}),
    "Training images per second": (("images_per_second",), {}),
    "Share of the time that steps wait for images": (
        ("input_wait_share",),
        {"share": True},
    ),
    "Of the classification loss, what background makes up": (
        ("loss_share/background", "loss_share/easy_background"),
        {"share": True},
    ),
}
"""Title of a panel: what is drawn if it was logged, and how."""


def result_chapter(result: Mapping[str, Any]) -> Chapter:
    """Returns the figures of the last evaluation.

    Args:
      result: what `result.json` holds.
    """
    if not result:
        missing = "There is no result.json: the run has not been evaluated yet."
        return Chapter("Result", (missing,), None)
    rows = tuple(
        (name, meaning, three_decimals(result[name]))
        for name, meaning in _MEANINGS.items()
        if name in result
    )
    sentences = [f"{str(result.get('status', 'unknown')).capitalize()}"]
    if "step" in result:
        sentences[0] += f" at step {result['step']:,}"
    if result.get("seconds") is not None:
        sentences[0] += f", after {duration(result['seconds'])} of training"
    sentences[0] += "."
    if result.get("best_step", result.get("step")) != result.get("step"):
        sentences.append(
            f"It was best at step {result['best_step']:,}, whose checkpoint is kept: "
            f"AP {three_decimals(result.get('best_AP'))}."
        )
    return Chapter("Result", tuple(sentences), Table(("figure", "", "value"), rows, 2))


def run_chapter(
    config: ConfigDict, result: Mapping[str, Any], versions: Mapping[str, str]
) -> Chapter:
    """Returns what was trained, on what, and how fast.

    Args:
      config: of the run.
      result: what `result.json` holds.
      versions: of packages.
    """
    size = " x ".join(map(str, config.image_size))
    schedule = f"{config.steps:,} steps of {config.batch_size} images"
    phi = f"{config.scaling.source}, phi {config.scaling.phi}"
    device = f"{result.get('device_count', '?')} x {result.get('device_kind', '?')}"
    rows = [
        ("model", f"{phi}; {size} pixels"),
        ("parameters", _count(result.get("params"))),
        ("multiply-adds", _count(result.get("multiply_adds"))),
        ("training", f"{config.data.train}: {schedule}, seed {config.seed}"),
        ("validation", config.data.val),
        ("devices", device),
        (
            "training, images/s",
            three_decimals(result.get("images_per_second")),
        ),
        (
            "inference, ms/image",
            three_decimals(result.get("latency_ms")),
        ),
        ("versions", ", ".join(f"{name} {v}" for name, v in versions.items())),
    ]
    return Chapter("The run", (), Table(("", ""), tuple(rows), 2))


def settings_chapter(config: ConfigDict, workdir: pathlib.Path) -> Chapter:
    """Returns where a config leaves the published recipe, and how to run it again.

    Args:
      config: of the run.
      workdir: of the run.
    """
    name, recipe = _recipe(config)
    here, there = (flat(json.loads(each.to_json())) for each in (config, recipe))
    rows = tuple(
        (key, _said(here, key), _said(there, key))
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    )
    again = shlex.quote(f"experiments/again.py:{workdir}")
    return Chapter(
        "Settings",
        (
            f"All that is not as in the published recipe ({name}).",
            f"To train it again: python -m efdet_jax.main --config={again} "
            "--workdir=NEW_FOLDER",
            f"To go through the log: tensorboard --logdir={shlex.quote(str(workdir))}",
        ),
        Table(("config.", "here", "recipe"), rows, 3) if rows else None,
    )


def progress_chapter(log: Mapping[str, Series]) -> Chapter | None:
    """Returns the curves of a log; None where there are none.

    Args:
      log: of `records.read_log`.
    """
    pictures = []
    for title, (names, options) in _PANELS.items():
        series = {name: log[name] for name in names if name in log}
        if series:
            element = panel(lambda axes, s=series, o=options: draw_series(axes, s, **o))
            pictures.append((title, element))
    if not pictures:
        return None
    return Chapter("How it went", (), None, tuple(pictures))


def _recipe(config: ConfigDict) -> tuple[str, ConfigDict]:
    """Returns the published recipe that a config is nearest to, and its name."""
    source, phi = config.scaling.source, config.scaling.phi
    if source not in SOURCES:
        source, phi = "table", 0
    return f"{source}, phi {phi}", get_config(source, phi)


def _said(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "-"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
