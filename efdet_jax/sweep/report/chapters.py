"""What a report says, in sentences and tables; how it looks is decided elsewhere."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from efdet_jax.pages.page import Chapter
from efdet_jax.pages.tables import Table
from efdet_jax.sweep.report.curves import COSTS, Curve
from efdet_jax.sweep.report.efficiency import COMPOUND, Gain, gains
from efdet_jax.sweep.report.forecast import CONFIDENCE, Forecast, Study
from efdet_jax.sweep.report.pareto import on_front
from efdet_jax.sweep.report.power_law import PowerLaw, asymptote_range
from efdet_jax.sweep.report.runs import FINISHED, Run

_LEVEL = f"{CONFIDENCE:.0%}"


def points_chapter(
    curves: Sequence[Curve], runs: Sequence[Run], metric: str
) -> Chapter:
    """Returns every point with its costs, and how far the sweep is."""
    front = on_front(curves)
    rows = tuple(
        (
            curve.name,
            point.label,
            str(point.seeds),
            _with_error(point.mean, point.deviation),
            *(_short(getattr(point, cost)) for cost in COSTS),
            "yes" if (curve.name, point.label) in front else "",
        )
        for curve in curves
        for point in curve.points
    )
    header = (
        *("family", "point", "seeds", metric),
        *("multiply-adds", "params", "latency, ms", "front"),
    )
    return Chapter("Points", (progress(runs),), Table(header, rows, 2))


def laws_chapter(studies: Sequence[Study], metric: str) -> Chapter:
    """Returns each family's law in words, and what it foretells."""
    rows = tuple(row for study in studies for row in _forecast_rows(study))
    header = (
        *("family", "size", "point", "multiply-adds", f"foretold {metric}"),
        *(f"{_LEVEL} of runs", "measured", "residual"),
    )
    return Chapter(
        "Power laws",
        (
            "C is the multiply-adds of an image; least squares over the sizes.",
            *(_law_sentence(study, metric) for study in studies),
        ),
        Table(header, rows, 3) if rows else None,
    )


def gains_chapters(curves: Sequence[Curve], metric: str) -> list[Chapter]:
    """Returns compound scaling against the best single axis, sweep by sweep."""
    chapters = []
    for curve in curves:
        rivals = [c for c in curves if c.sweep == curve.sweep and c != curve]
        rows = gains(curve, rivals) if curve.family == COMPOUND else []
        if rows:
            header = (
                *("point", "best alone", "multiply-adds", metric, f"its {metric}"),
                *("difference", f"{metric} ratio", "multiply-adds ratio"),
            )
            table = Table(header, tuple(_gain_row(row) for row in rows), 2)
            title = f"{curve.name} against the best single axis"
            chapters.append(Chapter(title, (_gain_sentence(rows, metric),), table))
    return chapters


def unfinished_chapter(runs: Sequence[Run], metric: str) -> Chapter | None:
    """Returns the trials that are not in the curves, and why; None if all are."""
    rows = tuple(
        (
            run.name,
            run.family,
            run.point,
            run.status if run.status != FINISHED else f"finished, {metric} is null",
            _short(run.figures.get("step", math.nan)),
            _with_error(run.figures.get(metric, math.nan), math.nan),
        )
        for run in runs
        if run.status != FINISHED or metric not in run.figures
    )
    if not rows:
        return None
    header = ("trial", "family", "point", "status", "step", f"{metric} so far")
    return Chapter("Not in the curves", (), Table(header, rows, 4))


def progress(runs: Sequence[Run]) -> str:
    """Returns how many trials are in which state."""
    counts = Counter(run.status for run in runs)
    finished = counts.pop(FINISHED, 0)
    rest = "".join(f", {count} {status}" for status, count in counts.items())
    return f"{finished} of {len(runs)} trials finished{rest}."


def _law_sentence(study: Study, metric: str) -> str:
    name = study.curve.name
    if study.outlook is None:
        return f"{name}: no law, {study.problem}."
    law = study.outlook.law
    formula = (
        f"{metric} = {law.asymptote:.3f} - {law.gap:.3f} "
        f"(C / {_short(law.pivot)})^-{law.exponent:.2f}"
    )
    size = f"{name}: {formula}, from {len(study.curve.points)} sizes; "
    return size + _asymptote_clause(law)


def _asymptote_clause(law: PowerLaw) -> str:
    if law.is_held:
        return (
            "they do not bend enough to tell where the curve ends, so its end was held "
            "at 1 and band and forecast leave out that doubt."
        )
    low, high = asymptote_range(law, confidence=CONFIDENCE)
    return f"it ends between {low:.3f} and {high:.3f} ({_LEVEL})."


def _forecast_rows(study: Study) -> list[tuple[str, ...]]:
    if study.outlook is None:
        return []
    named = (
        ("largest, from the smaller", study.outlook.check),
        ("next", study.outlook.next),
    )
    return [_forecast_row(study.curve.name, what, f) for what, f in named if f]


def _forecast_row(name: str, what: str, forecast: Forecast) -> tuple[str, ...]:
    residual = forecast.measured - forecast.value
    return (
        name,
        what,
        forecast.label,
        _short(forecast.multiply_adds),
        f"{forecast.value:.3f}",
        f"{forecast.low:.3f} to {forecast.high:.3f}",
        _with_error(forecast.measured, math.nan),
        "" if math.isnan(residual) else f"{residual:+.3f}",
    )


def _gain_row(row: Gain) -> tuple[str, ...]:
    error = "" if math.isnan(row.error) else f" ± {row.error:.3f}"
    ratio = row.value / row.rival_value if row.rival_value > 0 else math.nan
    return (
        row.label,
        row.rival,
        _short(row.multiply_adds),
        f"{row.value:.3f}",
        f"{row.rival_value:.3f}",
        f"{row.value - row.rival_value:+.3f}{error}",
        "" if math.isnan(ratio) else f"{ratio:.3f}",
        f"{row.bound} {row.cost_ratio:.2f}".strip(),
    )


def _gain_sentence(rows: Sequence[Gain], metric: str) -> str:
    difference = np.mean([row.value - row.rival_value for row in rows])
    better = sum(row.value > row.rival_value for row in rows)
    return (
        f"At equal multiply-adds compound scaling is better at {better} of {len(rows)} "
        f"sizes, by {difference:+.3f} {metric} in the mean; the multiply-adds ratio is "
        "how many times as much the best single axis needs to be as good."
    )


def _with_error(value: float, deviation: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.3f}" + ("" if math.isnan(deviation) else f" ± {deviation:.3f}")


def _short(value: float) -> str:
    """Returns three digits and an SI prefix, such as 43.9 M."""
    if math.isnan(value):
        return ""
    thousands = min(int(math.log10(max(abs(value), 1.0)) / 3), 5)
    digits = np.format_float_positional(
        value / 1000**thousands, precision=3, fractional=False, trim="-"
    )
    return f"{digits} {' kMGTP'[thousands]}".rstrip()
