"""Make a file of a detector for other programs, compared with the model.

    efdet export --from=runs/quickstart --out=exported
    efdet export --from=runs/quickstart --formats=stablehlo,onnx --images=photos

Prints how far each file's detections are from the model's. Exit code 6 if they are
further than rounding explains, such a file being removed, or if there is none because
the format's own tool cannot convert the detector.
"""

import sys

from absl import flags

from efdet_jax import caches, command, detector_flags
from efdet_jax.errors import NotExported, UsageError
from efdet_jax.journal import prepare_workdir
from efdet_jax.memory import keep_memory


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    options = command.new_options(
        argv, config="Experiment that the weights are of, where they do not say it."
    )
    detector_flags.define(
        options, origin="Workdir, or file of weights.", score_threshold=None
    )
    flags.DEFINE_string("out", "exported", "Folder to write.", flag_values=options)
    flags.DEFINE_list(
        "formats",
        ["stablehlo"],
        "Some of stablehlo, onnx, saved_model and tflite.",
        flag_values=options,
    )
    flags.DEFINE_string(
        "images",
        None,
        "Folder of photographs on which files are compared with the model. Default: "
        "drawn scenes.",
        flag_values=options,
    )
    return command.run(_export, argv, options, about=__doc__)


def _export(words: list[str], options: flags.FlagValues) -> int:
    if words:
        raise UsageError(
            f"command line: {words[0]} belongs to no flag: write --{words[0]}"
        )
    # These load JAX: seconds.
    from efdet_jax.exporting import formats
    from efdet_jax.exporting.comparing import TOLERANCE
    from efdet_jax.exporting.exporting import export, table
    from efdet_jax.exporting.metadata import metadata
    from efdet_jax.exporting.program import program
    from efdet_jax.exporting.samples import samples
    from efdet_jax.inference.detector import detector_of
    from efdet_jax.inference.loading import in_float32
    from efdet_jax.pages.tables import markdown

    chosen = formats.chosen(options.formats)
    opened = in_float32(detector_flags.opened(options))
    config = opened.config
    images = samples(config, options.images)
    out = prepare_workdir(options.out, flag="--out")
    caches.keep_compiled_programs()
    rows = export(
        program(config, opened.assembly, opened.variables),
        detector_of(opened, batch_size=1).infer,
        images,
        chosen,
        out,
        metadata=metadata(config, opened.labels),
        score_threshold=config.postprocess.score_threshold,
    )
    sys.stdout.write(markdown(table(rows)))
    differ = [r.name for r in rows if r.difference is not None and not r.is_right]
    reasons = [
        f"{row.name} could not be converted ({row.refusal})"
        for row in rows
        if row.difference is None
    ]
    if differ:
        reasons.append(
            f"{', '.join(differ)}: removed, as what was found is not what the model "
            f"finds, by more than {TOLERANCE.boxes} pixels or {TOLERANCE.scores} of a "
            "score"
        )
    if reasons:
        raise NotExported(
            f"--formats: {'; '.join(reasons)}: write another format, and report it"
        )
    return 0


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
