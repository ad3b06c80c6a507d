"""Decodes damaged images: `python tests/hostile/images.py FIRST COUNT`.

Each either becomes pixels of the size that its header states, or is refused in a line.
"""

import collections
import sys

import numpy as np
from hostile.bounded import bound_memory, each_in_time
from hostile.damage import damaged
from hostile.image_samples import samples

from efdet_jax.data.files import decode_image, image_size
from efdet_jax.errors import UsageError

MEMORY = 4 * 2**30


def outcome(function, encoded):
    try:
        return function(encoded, name="test")
    except UsageError as error:
        said = str(error)
        assert said.startswith("test: ")
        assert said.isprintable()
        assert len(said) < 2000
        return None


def check(encoded):
    image, size = outcome(decode_image, encoded), outcome(image_size, encoded)
    if image is None:
        return "refused"
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3)
    return "decoded"


def main(first, count):
    wholes = samples()
    for name, whole in wholes.items():
        assert check(whole) == "decoded", name
    bound_memory(MEMORY)
    counts = collections.Counter()
    cuts = [
        (name, at)
        for name, whole in (wholes.items() if first == 0 else ())
        for at in sorted({*range(40), *range(0, len(whole), len(whole) // 20)})
    ]
    for name, at in each_in_time(cuts):
        counts[check(wholes[name][:at])] += 1
    for seed in each_in_time(range(first, first + count)):
        rng = np.random.default_rng(seed)
        name = list(wholes)[rng.integers(len(wholes))]
        counts[check(damaged(wholes[name], rng))] += 1
    sys.stdout.write(f"{counts['decoded']} decoded, {counts['refused']} refused\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
