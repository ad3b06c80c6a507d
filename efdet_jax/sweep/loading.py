"""From the name of a sweep's file to trials that are known to be possible."""

import inspect
import runpy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from efdet_jax.errors import UsageError
from efdet_jax.sweep.trials import NAME, Trial
from efdet_jax.validation import validate

RESERVED = {"compilation_cache", "report", "curves", "sweep.json"}
"""What a sweep's workdir holds besides its trials."""


def load_trials(spec: str) -> list[Trial]:
    """Returns the trials of a sweep's file, checked.

    Args:
      spec: the file, with its argument after a colon if it takes one.

    Raises:
      UsageError: the file is no sweep, two trials have one name, or a trial's config
        cannot be built; naming trial and key.
    """
    trials = _call(spec, "get_trials")
    if not trials:
        raise UsageError(f"--config={spec} has no trials: give it an argument that has")
    for name, count in Counter(trial.name for trial in trials).items():
        if count > 1:
            raise UsageError(
                f"--config={spec}: {count} trials are named {name!r}: each needs a "
                "name of its own"
            )
        if not NAME.fullmatch(name) or name in RESERVED:
            raise UsageError(
                f"--config={spec}: {name!r} cannot name a trial: use letters, digits, "
                f"'-', '_', '+' and '.', and not {', '.join(sorted(RESERVED))}"
            )
    for trial in trials:
        trial_config(trial)
    return trials


def trial_config(trial: Trial) -> ConfigDict:
    """Returns the config of a trial, its overrides applied, validated.

    Raises:
      UsageError: naming the trial, and what is wrong.
    """
    config = _call(trial.config, "get_config")
    for key, value in trial.overrides.items():
        try:
            config.update_from_flattened_dict({key: value})
        except KeyError as error:
            raise UsageError(
                f"trial {trial.name}: there is no key config.{key}: --print_config of "
                f"{trial.config} lists them"
            ) from error
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"trial {trial.name}: config.{key}={value!r} is not of the key's type: "
                f"{' '.join(str(error).split())}"
            ) from error
    try:
        validate(config)
    except UsageError as error:
        raise UsageError(f"trial {trial.name}: {error}") from error
    return config


def main_arguments(trial: Trial) -> tuple[str, ...]:
    """Returns the command line of the main job for a trial, but for its workdir."""
    overrides = (f"--config.{key}={value}" for key, value in trial.overrides.items())
    return (f"--config={trial.config}", *overrides)


def _call(spec: str, function: str) -> Any:
    """Calls a function of a file with the argument after the file's name, if any."""
    file, colon, argument = spec.partition(":")
    if not Path(file).is_file():
        raise UsageError(f"--config={spec}: there is no file {file}: correct the path")
    made = runpy.run_path(file).get(function)
    if made is None:
        raise UsageError(f"--config={spec}: {file} has no {function}(): choose another")
    arguments: Sequence[str] = [argument] if colon else []
    try:
        inspect.signature(made).bind(*arguments)
    except TypeError as error:
        how = "needs an argument, as in" if not colon else "takes no argument, as"
        raise UsageError(
            f"--config={spec}: {file} {how} its first lines say"
        ) from error
    return made(*arguments)
