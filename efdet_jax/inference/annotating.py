"""From a person's files to annotated copies and rows of detections."""

import contextlib
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from efdet_jax.errors import UsageError
from efdet_jax.inference import media
from efdet_jax.inference.detector import Found, LoadedDetector
from efdet_jax.pictures import Picture, draw_found
from efdet_jax.results import coco_results


class Annotated(NamedTuple):
    """What was found in a file."""

    title: str
    num_images: int
    """1, or the frames of a video."""
    results: list[dict[str, Any]]
    """Its detections as rows of a COCO results file."""
    scores: dict[str, list[float]]
    """By the name of the class."""


Refuse = Callable[[str], None]
"""Is told why a file cannot be read; the others go on."""
Watch = Callable[[str, int, int], None]
"""Is told how far it is: (what is counted, done, total or 0)."""


def named_by(words: Sequence[str], *, refuse: Refuse) -> dict[str, pathlib.Path]:
    """Returns the files that are meant, each once, by a title.

    That is their name, with a number where several have it.

    Args:
      words: see `media.listed`.
      refuse: told of each word that means none.
    """
    paths: dict[pathlib.Path, pathlib.Path] = {}
    for word in words:
        try:
            paths |= {path.resolve(): path for path in media.listed(word)}
        except UsageError as error:
            refuse(str(error))
    files: dict[str, pathlib.Path] = {}
    for path in paths.values():
        numbered = (f"{path.stem}-{n}{path.suffix}" for n in itertools.count(2))
        titles = itertools.chain([path.name], numbered)
        files[next(title for title in titles if title not in files)] = path
    return files


def check_out(files: Mapping[str, pathlib.Path], out: pathlib.Path) -> None:
    """Checks that no file is replaced by its annotated copy.

    Raises:
      UsageError: one would be.
    """
    for title, path in files.items():
        if (out / media.copy_name(title)).resolve() == path.resolve():
            raise UsageError(
                f"--out={out} is the folder of {path}, which would be replaced: choose "
                "another folder"
            )


def annotate(
    detector: LoadedDetector,
    files: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    *,
    refuse: Refuse,
    watch: Watch,
) -> Iterator[Annotated]:
    """Writes a copy of each file with what is found in it; yields them one by one.

    Photos are turned as their EXIF tag asks, and boxes are in pixels of what a person
    sees. Training and evaluation leave them as stored, as annotations are.

    Args:
      detector: what finds.
      files: from `named_by`.
      out: folder of the copies.
      refuse: told of each file that cannot be read.
      watch: told of progress.

    Raises:
      UsageError: a copy cannot be written.
    """
    groups = itertools.groupby(files.items(), lambda file: media.is_video(file[1]))
    for are_videos, group in groups:
        if not are_videos:
            yield from _photos(detector, list(group), out, refuse, watch)
            continue
        for title, path in group:
            with contextlib.ExitStack() as stack:
                try:
                    video = stack.enter_context(media.opened_video(path))
                except UsageError as error:
                    refuse(str(error))
                    continue
                copy = out / media.copy_name(title)
                yield _video(detector, video, title, copy, watch)


def _photos(
    detector: LoadedDetector,
    files: Sequence[tuple[str, pathlib.Path]],
    out: pathlib.Path,
    refuse: Refuse,
    watch: Watch,
) -> Iterator[Annotated]:
    def readable() -> Iterator[tuple[int, media.Photo]]:
        for index, (_, path) in enumerate(files):
            try:
                yield index, media.read_photo(path)
            except UsageError as error:
                refuse(str(error))

    for (index, photo), found in _detected(detector, readable()):
        title, _ = files[index]
        media.write_photo(
            out / media.copy_name(title), _picture(detector, photo, found)
        )
        yield _annotated(detector, title, [found], [title])
        watch("files", index + 1, len(files))


def _video(
    detector: LoadedDetector,
    video: media.Video,
    title: str,
    copy: pathlib.Path,
    watch: Watch,
) -> Annotated:
    every: list[Found] = []
    with contextlib.closing(media.VideoFile(copy, rate=video.rate)) as written:
        for (_, frame), found in _detected(detector, enumerate(video.frames)):
            written.add(_picture(detector, frame, found))
            every.append(found)
            watch(f"frames of {title}", len(every), video.num_frames)
    ids = [f"{title}#{index}" for index in range(len(every))]
    return _annotated(detector, title, every, ids)


def _detected(
    detector: LoadedDetector, images: Iterator[tuple[int, media.Photo]]
) -> Iterator[tuple[tuple[int, media.Photo], Found]]:
    """Yields images with what is found in them; holds two batches of them at most."""
    behind, ahead = itertools.tee(images)
    return zip(behind, detector.detect(image for _, image in ahead), strict=True)


def _picture(detector: LoadedDetector, photo: media.Photo, found: Found) -> Picture:
    return draw_found(
        photo, found.boxes, found.scores, found.classes, names=detector.labels.names
    )


def _annotated(
    detector: LoadedDetector, title: str, found: Sequence[Found], ids: Sequence[str]
) -> Annotated:
    """Sums up what was found in a file.

    Args:
      detector: what found it.
      title: of the file.
      found: in each of its images.
      ids: of its images.
    """
    image_index = np.repeat(np.arange(len(found)), [len(each.scores) for each in found])
    results = coco_results(
        ids,
        detector.labels.ids,
        image_index=image_index,
        boxes=np.concatenate([each.boxes for each in found]),
        scores=np.concatenate([each.scores for each in found]),
        classes=np.concatenate([each.classes for each in found]),
    )
    scores: dict[str, list[float]] = {}
    for each in found:
        for name, score in zip(each.names, each.scores.tolist(), strict=True):
            scores.setdefault(name, []).append(score)
    return Annotated(title, len(found), results, scores)
