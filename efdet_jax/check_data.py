"""Looking at data sets before training: `python -m efdet_jax.check_data --data=SOURCE`.

Reads every image, prints what matters, and writes a page with everything else. Exit
code 1 if something must be mended.
"""

import pathlib
import sys

from absl import flags

from efdet_jax import command
from efdet_jax.config import get_config
from efdet_jax.errors import UsageError
from efdet_jax.memory import keep_memory

_SOME_FAULT = 1


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code: 1 if something must be mended."""
    options = command.new_options(
        argv, config="Experiment whose input size and anchors count. Default: D0."
    )
    flags.DEFINE_multi_string(
        "data",
        [],
        "Data set, as in config.data.train; once for each. Default: both of --config.",
        flag_values=options,
    )
    flags.DEFINE_string("out", "check_data.html", "Page to write.", flag_values=options)
    return command.run(_check, argv, options, about=__doc__)


def _check(words: list[str], options: flags.FlagValues) -> int:
    config = command.experiment(words, options, default=get_config("table", 0))
    if config.task != "detection":
        raise UsageError(
            f"--config is of {config.task}: name an experiment that detects objects"
        )
    if not options.data and not command.has_config(options):
        raise UsageError(
            "--data is missing: name a data set, such as --data=FOLDER,train, or an "
            "experiment with --config"
        )
    out = pathlib.Path(options.out)
    command.check_writable(out)
    # These load JAX and draw: seconds.
    from efdet_jax.assemble import open_spec
    from efdet_jax.inspection.inspecting import inspect
    from efdet_jax.inspection.telling import chapters, shared_images, summary
    from efdet_jax.pages.page import to_page

    inspections = []
    for spec in options.data or (config.data.train, config.data.val):
        source = open_spec(config, spec, name=f"--data={spec}")
        inspections.append(inspect(spec, source, config))
        lines = "".join(f"  {line}\n" for line in summary(inspections[-1]))
        sys.stdout.write(f"{spec}\n{lines}")
    shared = shared_images(inspections)
    if shared:
        sys.stdout.write(
            f"Look at: images in several of these data sets, {len(shared)} "
            f"({'; '.join(shared[:3])}): a detector is judged on what it has seen.\n"
        )
    told = [chapter for each in inspections for chapter in chapters(each)]
    out.write_text(to_page("What is in the data", told, {}))
    sys.stdout.write(f"page  {out}\n")
    return 0 if all(each.is_sound for each in inspections) else _SOME_FAULT


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
