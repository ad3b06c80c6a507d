"""What every command line has: flags, --help, and one line for an error."""

import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from efdet_jax.errors import EXIT_CODES, UsageError
from efdet_jax.validation import validate


def new_options(argv: list[str], *, config: str = "") -> flags.FlagValues:
    """Returns the flags that every command has; it adds its own.

    Args:
      argv: the command line.
      config: what --config is for; empty for a command that has none.
    """
    options = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Print this.", flag_values=options)
    if config:
        config_flags.DEFINE_config_file(
            "config", help_string=config, flag_values=options, sys_argv=argv
        )
    return options


def run(
    act: Callable[[list[str], flags.FlagValues], int],
    argv: list[str],
    options: flags.FlagValues,
    *,
    about: str | None,
) -> int:
    """Runs a command line; returns the exit code.

    Args:
      act: (words that belong to no flag, flags) → the exit code, if nothing is raised.
      argv: the command line.
      options: its flags, not yet parsed.
      about: what --help says before them.
    """
    try:
        words = _parse(argv, options)
        if options.help:
            listed = options.get_help(include_special_flags=False)
            sys.stdout.write(f"{about}{listed}\n")
            return 0
        return act(words, options)
    except tuple(EXIT_CODES) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CODES[type(error)]


def experiment(
    words: list[str], options: flags.FlagValues, *, default: ConfigDict | None = None
) -> ConfigDict:
    """Returns the config that --config names, found to be sound.

    Args:
      words: that belong to no flag, of which there must be none.
      options: the flags.
      default: the config where none is named; None if one must be.

    Raises:
      UsageError: there is no such config, or it describes nothing that can be run.
    """
    if words:
        raise UsageError(
            f"command line: {words[0]} belongs to no flag: write --{words[0]}"
        )
    if not has_config(options):
        if default is None:
            raise UsageError("--config is missing: name a file of experiments/")
        return default
    path = config_path(options)
    if not path.is_file():
        raise UsageError(f"--config={path} does not exist: name a file of experiments/")
    validate(options.config)
    return options.config


def has_config(options: flags.FlagValues) -> bool:
    """Says whether the command line names a config."""
    return bool(options["config"].present)


def config_path(options: flags.FlagValues) -> pathlib.Path:
    """Returns the file that --config names, without its argument."""
    flag: Any = options["config"]
    return pathlib.Path(flag.config_filename.split(":")[0])


def check_writable(out: pathlib.Path) -> None:
    """Finds out whether --out can be written before there is something to write.

    Raises:
      UsageError: it cannot.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.open("a").close()
    except OSError as error:
        raise UsageError(
            f"--out={out} cannot be written ({error.strerror}): choose another file"
        ) from error


def _parse(argv: list[str], options: flags.FlagValues) -> list[str]:
    """Returns the words of a command line that belong to no flag.

    Raises:
      UsageError: for a flag, a file or a config key that does not exist, or a value
        that is not of its key's type.
    """
    try:
        return options(argv)[1:]
    except (AttributeError, KeyError) as error:
        raise UsageError(_unknown_key(argv, str(error))) from error
    except (flags.Error, TypeError, ValueError) as error:
        # An error inside of a config file comes with its traceback as text.
        message = " ".join(str(error).split("Error: ")[-1].split())
        raise UsageError(
            f"command line: {message}: --help lists the flags, a config file says its "
            "arguments, --print_config of efdet_jax.main its keys and values"
        ) from error


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
