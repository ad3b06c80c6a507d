"""Files that describe a job to a cloud, whose machines share only a bucket with us."""

import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from efdet_jax.errors import UsageError
from efdet_jax.sweep.trials import Job


class Bucket(NamedTuple):
    """A Google Cloud Storage bucket, and the folder in it that is the sweep's."""

    name: str
    folder: str
    """"" is the whole bucket."""


def parse_bucket(address: str) -> Bucket:
    """Returns what "gs://NAME/FOLDER" names.

    Raises:
      UsageError: it is no such address.
    """
    name, _, folder = address.removeprefix("gs://").strip("/").partition("/")
    if not address.startswith("gs://") or not name:
        raise UsageError(
            f"--launcher_options=bucket={address} is no bucket: give bucket=gs://NAME "
            "or gs://NAME/FOLDER, the one that is mounted here at --workdir"
        )
    return Bucket(name, folder)


def mount_point(job: Job) -> Path:
    """Returns the sweep's workdir, where every machine has the bucket.

    Raises:
      UsageError: it is relative, which elsewhere is another place.
    """
    workdir = job.folder.parent
    if not workdir.is_absolute():
        raise UsageError(
            f"--workdir={workdir} is relative: give this launcher an absolute one, at "
            "which the bucket is mounted here and will be there"
        )
    return workdir


def command_there(job: Job) -> str:
    """Returns the job's command for a shell, with their `python` in place of ours."""
    words = ("python" if word == sys.executable else word for word in job.command)
    return shlex.join(words)


def write(job: Job, name: str, content: dict[str, Any]) -> Path:
    """Writes a description into the job's folder and returns its path."""
    path = job.folder / name
    path.write_text(yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1_000))
    return path


class _Dumper(yaml.SafeDumper):
    """Writes scripts line by line, so that people can read them."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)
