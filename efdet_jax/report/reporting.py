"""From a workdir to a page."""

import pathlib

from ml_collections import ConfigDict

from efdet_jax.assemble import open_data
from efdet_jax.config import from_json
from efdet_jax.data.relabelled import relabelled
from efdet_jax.errors import UsageError
from efdet_jax.inference.loading import OpenedModel, open_model
from efdet_jax.pages.page import Chapter, to_page
from efdet_jax.report.detection_chapters import detection_chapters
from efdet_jax.report.judged import judge
from efdet_jax.report.network_chapters import (
    anchors_chapter,
    energy_chapter,
    fusion_chapter,
)
from efdet_jax.report.records import read_log, read_object
from efdet_jax.report.run_chapters import (
    progress_chapter,
    result_chapter,
    run_chapter,
    settings_chapter,
)


def report(workdir: pathlib.Path, config: ConfigDict | None) -> tuple[str, list[str]]:
    """Returns the page of a run, and what could not be told, a line each.

    Args:
      workdir: of a detector, that has a checkpoint.
      config: of the run; None is that in the workdir.

    Raises:
      UsageError: the workdir is none.
    """
    opened = open_model(str(workdir), config=config, labels=None)
    written = read_object(workdir / "config.json")
    # Of what was opened, some keys have been resolved.
    config = config or from_json(written["config"])
    result = read_object(workdir / "result.json")
    told, missing = _about_data(workdir, opened)
    chapters = [
        result_chapter(result),
        Chapter("Not told", tuple(missing), None) if missing else None,
        run_chapter(config, result, written.get("versions", {})),
        progress_chapter(read_log(workdir / "metrics.jsonl")),
        *told,
        fusion_chapter(opened),
        settings_chapter(config, workdir),
    ]
    kept = [chapter for chapter in chapters if chapter]
    return to_page(f"Run {workdir.absolute().name}", kept, {}), missing


def _about_data(
    workdir: pathlib.Path, opened: OpenedModel
) -> tuple[list[Chapter | None], list[str]]:
    """Returns the chapters that need the validation data, and why some are missing."""
    config = opened.config
    try:
        source = relabelled(open_data(config, "val"), opened.labels)
    except UsageError as error:
        return [], [
            f"Nothing that needs the validation data, which cannot be opened: {error}"
        ]
    annotations = [source.annotations(i) for i in range(len(source))]
    chapters: list[Chapter | None] = []
    missing = []
    try:
        judged = judge(workdir, annotations, source.labels)
        chapters += detection_chapters(judged, source, config)
    except UsageError as error:
        missing.append(f"What was found in the validation data: {error}")
    chapters.append(anchors_chapter(annotations, source.labels.names, config))
    chapters.append(energy_chapter(opened, source))
    return chapters, missing
