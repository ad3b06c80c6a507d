"""The flags of every command that opens a detector: which one, and how it detects."""

import logging
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import ConfigDict

from efdet_jax import command
from efdet_jax.errors import UsageError
from efdet_jax.postprocess import METHODS

if TYPE_CHECKING:
    from efdet_jax.inference.loading import OpenedModel

_SETTINGS = ("score_threshold", "method", "per_class", "max_detections")
"""Those that are keys of `config.postprocess`."""


def define(
    options: flags.FlagValues, *, origin: str, score_threshold: float | None
) -> None:
    """Adds the flags to a command's own.

    Args:
      options: those of the command.
      origin: what --from may be.
      score_threshold: where the command line gives none; None for the config's.
    """
    flags.DEFINE_string("from", None, origin, flag_values=options)
    flags.DEFINE_string(
        "labels",
        None,
        "Text file with the name of a class on each line, where weights say none.",
        flag_values=options,
    )
    flags.DEFINE_float(
        "score_threshold",
        score_threshold,
        "What scores above it is found.",
        lower_bound=0.0,
        upper_bound=1.0,
        flag_values=options,
    )
    flags.DEFINE_enum(
        "method",
        None,
        list(METHODS),
        "How boxes suppress those that they overlap. Default: the config's.",
        flag_values=options,
    )
    flags.DEFINE_bool(
        "per_class",
        None,
        "Only boxes of one class suppress each other. Default: the config's.",
        flag_values=options,
    )
    flags.DEFINE_integer(
        "max_detections",
        None,
        "Most boxes of an image. Default: the config's.",
        lower_bound=1,
        flag_values=options,
    )


def origin(options: flags.FlagValues) -> str:
    """Returns what is to be opened.

    Raises:
      UsageError: --from is missing.
    """
    path = options["from"].value
    if not path:
        raise UsageError("--from is missing: name a workdir, or a file of weights")
    return path


def config_and_labels(
    options: flags.FlagValues,
) -> tuple[ConfigDict | None, tuple[str, ...] | None]:
    """Returns what the command line says of the weights; None for what it does not.

    From here on the log is shown.

    Raises:
      UsageError: see `command.experiment` and `inference.loading.read_names`.
    """
    from efdet_jax.inference.loading import read_names

    has_config = command.has_config(options)
    config = command.experiment([], options) if has_config else None
    labels = read_names(options.labels) if options.labels else None
    logging.basicConfig(format="%(message)s")
    logging.getLogger("efdet_jax").setLevel(logging.INFO)
    return config, labels


def settings(options: flags.FlagValues) -> dict[str, Any]:
    """Returns the keys of `config.postprocess` that the command line changes."""
    given = {key: options[key].value for key in _SETTINGS}
    return {key: value for key, value in given.items() if value is not None}


def opened(options: flags.FlagValues) -> "OpenedModel":
    """Returns the network that the command line names, set as it says.

    Raises:
      UsageError: in one line what is wrong, and what to do.
    """
    from efdet_jax.inference.detector import set_detection
    from efdet_jax.inference.loading import open_model

    path = origin(options)
    config, labels = config_and_labels(options)
    model = open_model(path, config=config, labels=labels)
    set_detection(model.config, **settings(options))
    return model
