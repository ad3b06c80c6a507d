"""What every command line has: flags, --help, and one line for an error."""

import os
import pathlib
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from efdet_jax.errors import EXIT_CODES, UsageError, tell
from efdet_jax.validation import validate

_WIDTH = 88
_LONGEST_FLAG = 24
"""What a flag may take of a line before its help; of a longer one it is on the next."""
_ABSL_ADDS = re.compile(r"^<.*?>: |;\s+repeat this option.*")
"""To the help of flags with a choice of values, and of those that may be repeated."""
_INNER = re.compile(r"^--?config\b.*[.\[]_")
"""A key that would reach into Python's objects behind the config."""


def new_options(argv: list[str], *, config: str = "") -> flags.FlagValues:
    """Returns the flags that every command has; it adds its own.

    Args:
      argv: the command line.
      config: what --config is for; empty for a command that has none.
    """
    options = flags.FlagValues()
    flags.DEFINE_bool("help", False, "Print this.", short_name="h", flag_values=options)
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
            sys.stdout.write(f"{about}\nFlags:\n{_listed(options)}")
            return 0
        return act(words, options)
    except tuple(EXIT_CODES) as error:
        return tell(error)


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
    if not os.path.isfile(path):
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


def _listed(options: flags.FlagValues) -> str:
    """Returns the flags, each with its help beside it."""
    rows = list(_rows(options))
    column = 4 + max(len(flag) for flag, _ in rows if len(flag) <= _LONGEST_FLAG)
    lines = []
    for flag, text in rows:
        wrapped = textwrap.wrap(text, _WIDTH - column)
        if len(flag) > _LONGEST_FLAG:
            lines.append(f"  {flag}")
        else:
            lines.append(f"  {flag}".ljust(column) + wrapped.pop(0))
        lines += [" " * column + line for line in wrapped]
    return "\n".join(lines) + "\n"


def _rows(options: flags.FlagValues) -> Iterator[tuple[str, str]]:
    """Yields the form of each flag, and what it is for; --help comes last."""
    for name in sorted(options, key="help".__eq__):
        flag: Any = options[name]
        # An abbreviation, or a key of a config, which there is on some command lines.
        if name != flag.name or "." in name:
            continue
        values = getattr(flag.parser, "enum_values", None)
        form = f"--{name}"
        if not flag.boolean:
            form += f"={'|'.join(values) if values else name.upper()}"
        if flag.flag_type() == "config object":
            yield form, flag.help
            yield "--config.KEY=VALUE", "Change a key of it, as often as you like."
        else:
            default = flag.default
            shown = ",".join(default) if isinstance(default, list) else default
            default = f" Default: {shown}." if shown else ""
            yield form, _ABSL_ADDS.sub("", flag.help) + default


def _parse(argv: list[str], options: flags.FlagValues) -> list[str]:
    """Returns the words of a command line that belong to no flag.

    Raises:
      UsageError: for a flag, a file or a config key that does not exist, or a value
        that is not of its key's type.
    """
    for argument in argv:
        key = argument.partition("=")[0]
        if _INNER.search(key):
            raise UsageError(f"{argument}: no config key begins with _: correct it")
    try:
        return options(argv)[1:]
    except (AttributeError, KeyError) as error:
        raise UsageError(_unknown_key(argv, str(error))) from error
    # Literals that are nested without end are the last three.
    except (
        flags.Error,
        IndexError,
        TypeError,
        ValueError,
        SyntaxError,
        RecursionError,
        MemoryError,
    ) as error:
        # An error inside of a config file comes with its traceback as text.
        message = " ".join(str(error).split("Error: ")[-1].split())
        raise UsageError(
            f"command line: {message}: --help lists the flags, a config file says its "
            "arguments, efdet train --print_config its keys and values"
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
