"""Points and trials for programs: CSV, unrounded, empty where there is no number."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from efdet_jax.sweep.report.curves import COSTS, Curve
from efdet_jax.sweep.report.pareto import on_front
from efdet_jax.sweep.report.runs import Run


def points_csv(curves: Sequence[Curve], metric: str) -> str:
    """Returns a line for each point of each curve."""
    front = on_front(curves)
    rows = [
        {
            "family": curve.name,
            "point": point.label,
            "seeds": point.seeds,
            metric: point.mean,
            f"{metric}_deviation": point.deviation,
            **{cost: getattr(point, cost) for cost in COSTS},
            "on_front": (curve.name, point.label) in front,
        }
        for curve in curves
        for point in curve.points
    ]
    return _csv(rows)


def trials_csv(runs: Sequence[Run]) -> str:
    """Returns a line for each trial, with every number of its result."""
    names = sorted({name for run in runs for name in run.figures})
    rows = [
        {
            **{key: value for key, value in run._asdict().items() if key != "figures"},
            "overrides": json.dumps(dict(run.overrides), default=str),
            **{name: run.figures.get(name, "") for name in names},
        }
        for run in runs
    ]
    return _csv(rows)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if v != v else v for k, v in row.items()})
    return out.getvalue()
