"""Reads damaged weight files: `python tests/hostile/weights.py KIND FIRST COUNT`.

KIND is a name of `weight_samples.samples`, "all" of these, or "tf" for checkpoints of
TensorFlow. Each becomes arrays, or is refused in a line.
"""

import collections
import functools
import pathlib
import sys
import tempfile

import numpy as np
from hostile.bounded import bound_memory, each_in_time
from hostile.damage import damaged
from hostile.weight_samples import samples, save_tf_checkpoint

from efdet_jax.errors import UsageError
from efdet_jax.weights.opening import open_weights

MEMORY = 2 * 2**30
_samples = functools.cache(samples)


def check(path):
    try:
        arrays = open_weights(path).arrays
    except UsageError as error:
        said = str(error)
        assert str(path) in said
        assert said.isprintable()
        assert len(said) < 2000
        # That it is of no family, we are told only once it was read.
        return "read" if "are of no model" in said else "refused"
    assert sum(array.nbytes for array in arrays.values()) < 2**24
    return "read"


def files(kind, folder, seed):
    """Writes a damaged file; returns what is to be opened."""
    rng = np.random.default_rng(seed)
    if kind == "tf":
        whole = folder / "whole"
        for path in sorted(whole.iterdir()):
            content = path.read_bytes()
            is_spoilt = path.suffix == ".index" or rng.random() < 0.3
            target = folder / path.name
            target.write_bytes(damaged(content, rng) if is_spoilt else content)
        return folder / "model"
    wholes = _samples() if kind == "all" else {kind: _samples()[kind]}
    name = list(wholes)[rng.integers(len(wholes))]
    path = folder / "made"
    path.write_bytes(damaged(wholes[name], rng))
    return path


def main(kind, first, count):
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if kind == "tf":
            (folder / "whole").mkdir()
            save_tf_checkpoint(folder / "whole" / "model")
            assert check(folder / "whole" / "model") == "read"
        else:
            for content in _samples().values():
                (folder / "made").write_bytes(content)
                check(folder / "made")
        bound_memory(MEMORY)
        for seed in each_in_time(range(first, first + count)):
            path = files(kind, folder, seed)
            before = sorted(folder.rglob("*"))
            counts[check(path)] += 1
            assert sorted(folder.rglob("*")) == before
    sys.stdout.write(f"{counts['read']} read, {counts['refused']} refused\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
