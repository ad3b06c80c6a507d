"""A run once more, with the config that its workdir holds, to the last key.

python -m efdet_jax.main --config=experiments/again.py:WORKDIR --workdir=NEW_FOLDER

WORKDIR is of the run, such as runs/quickstart. On the same machine and with the same
versions, expect the same figures.
"""

import json
import pathlib

from ml_collections import ConfigDict

from efdet_jax.config import from_json
from efdet_jax.errors import UsageError


def get_config(workdir: str) -> ConfigDict:
    path = pathlib.Path(workdir) / "config.json"
    if not path.is_file():
        raise UsageError(f"{path} does not exist: name the --workdir of a run")
    return from_json(json.loads(path.read_text())["config"])
