"""The main job: `python -m efdet_jax.main --config=experiments/d3.py`.

Trains and evaluates; the same command goes on where it stopped. Intentionally short:
flags, checks, one call, a table.
"""

import json
import logging
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from efdet_jax.config import validate
from efdet_jax.errors import EXIT_CODES, UsageError
from efdet_jax.journal import prepare_workdir
from efdet_jax.memory import use_huge_pages

_CONFIG = config_flags.DEFINE_config_file("config", help_string="Experiment to run.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Default: runs/NAME_OF_CONFIG.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "eval"], "eval: evaluate only.")
_PRINT_CONFIG = flags.DEFINE_bool(
    "print_config", False, "Print the resolved config and the model's cost as JSON."
)


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    try:
        config = _parse(argv)
        validate(config)
        if _PRINT_CONFIG.value:
            sys.stdout.write(_describe(config) + "\n")
            return 0
        workdir = prepare_workdir(_WORKDIR.value or f"runs/{_config_path().stem}")
        logging.basicConfig(format="%(message)s")
        logging.getLogger("efdet_jax").setLevel(logging.INFO)
        from efdet_jax import train  # Loads the input pipeline and Orbax: seconds.

        run = train.train if _MODE.value == "train" else train.evaluate_only
        result = run(config, workdir)
    except tuple(EXIT_CODES) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CODES[type(error)]
    sys.stdout.write(_table(result, workdir))
    return 0


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
    if not _config_path().is_file():
        raise UsageError(
            f"--config={_config_path()} does not exist: name a file of experiments/"
        )
    return _CONFIG.value


def _config_path() -> pathlib.Path:
    flag: Any = flags.FLAGS["config"]
    return pathlib.Path(flag.config_filename.split(":")[0])


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


def _describe(config: ConfigDict) -> str:
    from efdet_jax import assemble

    assembly = assemble.detector(config, assemble.num_classes(config))
    description = {
        "config": json.loads(config.to_json()),
        "params": assembly.params,
        "multiply_adds": assembly.multiply_adds,
        "image_size": tuple(config.image_size),
    }
    return json.dumps(description, indent=2)


def _table(result: Mapping[str, Any], workdir: pathlib.Path) -> str:
    figures = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    rows = [
        # Not a number where the data has no object of that size.
        *((name, f"{result[name]:.3f}".replace("nan", "-")) for name in figures),
        ("params", f"{result['params']:,}"),
        ("multiply-adds", f"{result['multiply_adds']:,}"),
        ("images/s", f"{result['images_per_second']:.1f}"),
        ("seconds", f"{result['seconds']:.0f}"),
        ("workdir", str(workdir)),
        ("TensorBoard", f"tensorboard --logdir={workdir}"),
        ("pictures", f"{workdir}/pictures/*.png"),
    ]
    return "".join(f"{name:<14} {value}\n" for name, value in rows)


if __name__ == "__main__":
    use_huge_pages(sys.orig_argv)
    sys.exit(main(sys.argv))
