"""The curves and the table of trials for TensorBoard.

curves/FAMILY  a run for each family, its scalars by multiply-adds in millions as the
               step, so that the scalar dashboard draws scaling curves
trials/NAME    a run for each trial, its overrides and figures for the hparams plugin
"""

import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.plugins.hparams import summary_v2 as hparams

from efdet_jax import events
from efdet_jax.sweep.report.curves import COSTS, Curve, having
from efdet_jax.sweep.report.figure import Images
from efdet_jax.sweep.report.runs import Run

_STEP = (
    "The step is multiply-adds in millions. Smoothing bends the curves, and ignoring "
    "outliers cuts off their best points: switch both off."
)

UNBENT = "#scalars&_smoothingWeight=0"
"""Behind TensorBoard's address: the curves as they are, not smoothed."""


def write_dashboards(
    out: pathlib.Path,
    curves: Sequence[Curve],
    runs: Sequence[Run],
    images: Mapping[str, Images],
    metric: str,
) -> None:
    """Writes all runs below a folder, in the place of those of an earlier report."""
    before = [path for name in ("curves", "trials") for path in _files(out / name)]
    for curve in curves:
        _write(out / "curves" / _folder(curve.name), _curve_steps(curve, metric))
    _write(out / "curves", _pictures(images))
    tried = [run for run in runs if run.figures]
    figures = (metric, *COSTS)
    _write(out / "trials", [(0, _table(tried, figures))])
    is_one = len({run.sweep for run in runs}) == 1
    for run in tried:
        name = run.name if is_one else f"{run.sweep} {run.name}"
        _write(out / "trials" / _folder(name), _trial_steps(name, run, figures))
    for path in before:
        path.unlink(missing_ok=True)


def _pictures(images: Mapping[str, Images]) -> events.Steps:
    for name, drawn in images.items():
        yield 0, events.image(f"curve/{name}", drawn.png)


def _curve_steps(curve: Curve, metric: str) -> events.Steps:
    for point in having(curve, "multiply_adds").points:
        step = round(point.multiply_adds / 1e6)
        values = {metric: point.mean, f"{metric}_deviation": point.deviation}
        values |= {"params": point.params, "latency_ms": point.latency_ms}
        for name, value in values.items():
            if value == value:
                yield step, events.scalar(f"curve/{name}", value, _STEP)


def _trial_steps(name: str, run: Run, figures: Sequence[str]) -> events.Steps:
    yield 0, hparams.hparams_pb(_settings(run), trial_id=name)
    step = round(run.figures.get("multiply_adds", 0) / 1e6)
    for figure in figures:
        if figure in run.figures:
            yield step, events.scalar(f"trials/{figure}", run.figures[figure], _STEP)


def _settings(run: Run) -> dict[str, Any]:
    """Returns what tells a trial from the others, as the plugin takes it."""
    overrides = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in run.overrides.items()
    }
    place = {"family": run.family, "point": run.point, "status": run.status}
    return {**place, "config": run.config, **overrides}


def _table(runs: Sequence[Run], figures: Sequence[str]) -> Any:
    """Returns which columns the plugin's table has, in their order."""
    settings = dict.fromkeys(key for run in runs for key in _settings(run))
    return hparams.hparams_config_pb(
        [hparams.HParam(key) for key in settings],
        [hparams.Metric(f"trials/{name}", display_name=name) for name in figures],
    )


def _write(folder: pathlib.Path, steps: events.Steps) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # A new name each time.
    content = events.beginning(first_step=0) + events.records(steps)
    (folder / events.new_name()).write_bytes(content)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return list(folder.rglob("events.out.tfevents.*"))


def _folder(name: str) -> str:
    """Returns a name for one folder, with no slash in it."""
    return urllib.parse.quote(name, safe=" +,=()")
