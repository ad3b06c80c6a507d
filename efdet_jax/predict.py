"""Find objects in photos, folders and videos.

    efdet predict --from=runs/quickstart --out=found PHOTOS...
    efdet predict --from=efficientdet-d0.tar.gz --score_threshold=0.5 holiday.mp4

PHOTOS are photos, videos, folders of them, or patterns such as 'photos/**/*.jpg'.
Writes annotated copies and `detections.json`, a COCO results file whose image_id is
the name of the file, NAME#3 for a video's frame 3 counted from 0. Photos are turned as
their EXIF tag asks, which training and evaluation do not do: there annotations are in
stored pixels. Small images are enlarged in the copies, not in the boxes.
"""

import json
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags

from efdet_jax import caches, command, detector_flags, mesh
from efdet_jax.errors import UsageError
from efdet_jax.journal import prepare_workdir
from efdet_jax.memory import keep_memory
from efdet_jax.pictures import SHOWN_SCORE
from efdet_jax.replacing import replace_text

if TYPE_CHECKING:
    from efdet_jax.inference.detector import LoadedDetector

_SOME_REFUSED = 2


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code: 2 if a file could not be read."""
    options = command.new_options(
        argv, config="Experiment that the weights are of, where they do not say it."
    )
    detector_flags.define(
        options,
        origin="Workdir, file of weights, or StableHLO bundle.",
        score_threshold=SHOWN_SCORE,
    )
    _define_own(options)
    return command.run(_predict, argv, options, about=__doc__)


def _define_own(options: flags.FlagValues) -> None:
    flags.DEFINE_string("out", "predictions", "Folder to write.", flag_values=options)
    flags.DEFINE_enum(
        "device",
        None,
        ["cpu", "gpu", "tpu"],
        "Default: the best that there is.",
        flag_values=options,
    )
    flags.DEFINE_integer(
        "batch_size",
        4,
        "Images that are computed together.",
        lower_bound=1,
        flag_values=options,
    )


def _predict(words: list[str], options: flags.FlagValues) -> int:
    origin = detector_flags.origin(options)
    if not words:
        raise UsageError("no photo is named: name photos, videos or folders")
    # These load what computes: seconds.
    from efdet_jax.inference import annotating, telling

    teller = telling.Teller()
    files = annotating.named_by(words, refuse=teller.refuse)
    if not files:
        return _SOME_REFUSED
    annotating.check_out(files, pathlib.Path(options.out))
    out = prepare_workdir(options.out, flag="--out")
    detector = _detector(origin, options)
    teller.begin(files, detector, origin)
    results = []
    for annotated in annotating.annotate(
        detector, files, out, refuse=teller.refuse, watch=teller.bar.show
    ):
        results += annotated.results
        teller.row(annotated)
    replace_text(out / "detections.json", json.dumps(results) + "\n")
    teller.end(out)
    return _SOME_REFUSED if teller.num_refused else 0


def _detector(origin: str, options: flags.FlagValues) -> "LoadedDetector":
    from efdet_jax.inference.detector import load

    config, labels = detector_flags.config_and_labels(options)
    if options.device:
        mesh.choose_platform(options.device)
    caches.keep_compiled_programs()
    return load(
        origin,
        config=config,
        labels=labels,
        batch_size=options.batch_size,
        **detector_flags.settings(options),
    )


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
