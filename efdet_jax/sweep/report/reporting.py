"""From the workdirs of sweeps to a folder with everything that came of them."""

import pathlib
from collections.abc import Mapping, Sequence

from efdet_jax.errors import UsageError
from efdet_jax.pages import page
from efdet_jax.pages.images import Images
from efdet_jax.sweep.report import chapters, figure, records
from efdet_jax.sweep.report.curves import COSTS, Curve, make_curves
from efdet_jax.sweep.report.dashboards import UNBENT, write_dashboards
from efdet_jax.sweep.report.forecast import Study, study
from efdet_jax.sweep.report.published import PUBLISHED
from efdet_jax.sweep.report.runs import FINISHED, Run, choose_metric, read_runs


def report(
    workdirs: Sequence[pathlib.Path],
    *,
    metric: str = "",
    out: pathlib.Path | None = None,
    published: bool = False,
) -> str:
    """Writes what sweeps came to, by now; returns it as text for a terminal.

    index.html            all of it, on a page that needs nothing else
    report.md             the same as text
    COST.png, COST.svg    the metric against multiply_adds, params and latency_ms
    points.csv            the points of the curves, unrounded
    trials.csv            every trial with every number that it has
    curves/, trials/      for TensorBoard: curves, table and figures

    Args:
      workdirs: of sweeps, running or done, whose curves are laid over one another.
      metric: a figure of the trials; "" is AP, or top1 of classifiers.
      out: the folder to write to, or "report" in the first workdir.
      published: lays the published D0-D7x under them.

    Raises:
      UsageError: a workdir is none of a sweep, no trial has the metric, or `out` cannot
        be written.
    """
    runs = read_runs(workdirs)
    metric = choose_metric(runs, metric)
    curves = make_curves(runs, metric)
    if not curves:
        return f"no curve yet: {chapters.progress(runs)}\n"
    if published:
        curves.append(PUBLISHED)
    studies = [study(curve, runs) for curve in curves]
    images = _images(curves, studies, runs, metric)
    told = _chapters(curves, studies, runs, metric)
    title = f"{metric} against multiply-adds: " + ", ".join(
        dict.fromkeys(run.sweep for run in runs)
    )
    text = page.to_markdown(told)
    drawn = "".join(f"![{metric} against {name}]({name}.svg)\n\n" for name in images)
    files = {
        "index.html": page.to_page(
            title, told, {name: image.svg for name, image in images.items()}
        ),
        "report.md": f"# {title}\n\n{drawn}{text}",
        "points.csv": records.points_csv(curves, metric),
        "trials.csv": records.trials_csv(runs),
        **{f"{name}.svg": image.svg for name, image in images.items()},
        **{f"{name}.png": image.png for name, image in images.items()},
    }
    folder = out or workdirs[0] / "report"
    _write(folder, files)
    write_dashboards(folder, curves, runs, images, metric)
    return f"{text}\npage         {folder}/index.html\n" + (
        f"TensorBoard  tensorboard --logdir={folder}, at its address {UNBENT}\n"
    )


def _images(
    curves: Sequence[Curve], studies: Sequence[Study], runs: Sequence[Run], metric: str
) -> dict[str, Images]:
    """Returns a figure for each cost that some point has."""
    outlooks = {study.curve.name: study.outlook for study in studies if study.outlook}
    devices = sorted({run.device for run in runs if run.status == FINISHED} - {""})
    notes = {"latency_ms": f" ({', '.join(devices)})" if devices else ""}
    drawn = {
        cost: figure.draw(
            curves,
            outlooks if cost == "multiply_adds" else {},
            cost=cost,
            metric=metric,
            note=notes.get(cost, ""),
        )
        for cost in COSTS
    }
    return {cost: images for cost, images in drawn.items() if images}


def _chapters(
    curves: Sequence[Curve], studies: Sequence[Study], runs: Sequence[Run], metric: str
) -> list[page.Chapter]:
    told = [
        chapters.points_chapter(curves, runs, metric),
        chapters.laws_chapter(studies, metric),
        *chapters.gains_chapters(curves, metric),
        chapters.unfinished_chapter(runs, metric),
    ]
    return [chapter for chapter in told if chapter]


def _write(folder: pathlib.Path, files: Mapping[str, str | bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"--out={folder} cannot be written ({error.strerror}): choose a folder "
            "of your own"
        ) from error
