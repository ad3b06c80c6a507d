"""What every command line of the package has: --config, and one line for an error."""

import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from efdet_jax.errors import EXIT_CODES, UsageError
from efdet_jax.validation import validate

_CONFIG = config_flags.DEFINE_config_file("config", help_string="Experiment to run.")


def run(command: Callable[[ConfigDict], None], argv: list[str]) -> int:
    """Runs a command with the config of its command line; returns the exit code."""
    try:
        config = _parse(argv)
        validate(config)
        command(config)
    except tuple(EXIT_CODES) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CODES[type(error)]
    return 0


def config_path() -> pathlib.Path:
    """Returns the file that --config names, without its argument."""
    flag: Any = flags.FLAGS["config"]
    return pathlib.Path(flag.config_filename.split(":")[0])


def _parse(argv: list[str]) -> ConfigDict:
    """Returns the config of a command line.

    Raises:
      UsageError: for a flag, a file or a config key that does not exist, or a value
        that is not of its key's type.
    """
    try:
        stray = flags.FLAGS(argv)[1:]
    except (AttributeError, KeyError) as error:
        raise UsageError(_unknown_key(argv, str(error))) from error
    except (flags.Error, TypeError, ValueError) as error:
        # An error inside of a config file comes with its traceback as text.
        message = " ".join(str(error).split("Error: ")[-1].split())
        raise UsageError(
            f"command line: {message}: see the config file for its arguments, "
            "--print_config for keys and values"
        ) from error
    if stray:
        raise UsageError(
            f"command line: {stray[0]} belongs to no flag: write --{stray[0]}"
        )
    if _CONFIG.value is None:
        raise UsageError("--config is missing: name a file of experiments/")
    if not config_path().is_file():
        raise UsageError(
            f"--config={config_path()} does not exist: name a file of experiments/"
        )
    return _CONFIG.value


def _unknown_key(argv: list[str], message: str) -> str:
    """Returns the one line for a config key that does not exist."""
    names = re.findall(r"\w+", message)
    for argument in argv:
        key = argument.lstrip("-").partition("=")[0].removeprefix("config.")
        if names and names[0] in key.split("."):
            hint = re.search(r"Did you mean \W*(\w+)", message)
            remedy = f"did you mean {hint[1]}?" if hint else "--print_config lists them"
            if key.endswith("phi"):
                remedy = "give phi to the config file, as in experiments/phi.py:1.5"
            return f"{argument}: there is no key config.{key}; {remedy}"
    return f"command line: {message}"
