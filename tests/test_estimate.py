"""What fits is found by trying, and what is said of it can be counted by hand."""

import math
import pathlib

import jax
import numpy as np
import pytest
import tiny_classifier

from efdet_jax import main
from efdet_jax.estimate import largest_that_fits, more_parts
from efdet_jax.footprint import device_memory

CONFIG = f"--config={tiny_classifier.__file__}"


@pytest.mark.parametrize("first", [(1, 2), (128, 1), (7, 1)])
@pytest.mark.parametrize("largest", [0, 1, 2, 6, 7, 100, 128, 5000])
def test_on_a_straight_line_the_largest_is_found(first, largest):
    tried = []

    def size(n):
        tried.append(n)
        return 3.0 + 0.5 * n

    limit = 3.0 + 0.5 * largest + 0.4
    assert largest_that_fits(size, limit, first=first) == largest
    assert len(tried) <= 4


def test_what_is_found_has_been_tried_and_fits_however_sizes_grow():
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps = rng.exponential(size=400) * (rng.random(400) < 0.5) + 1e-3
        sizes = np.cumsum(steps) + rng.uniform(0, 20)
        # Beyond somewhere nothing is known.
        sizes[rng.integers(20, 400) :] = math.inf
        limit = rng.uniform(0, 120)
        tried = {}

        def size(n, tried=tried, sizes=sizes):
            tried[n] = sizes[n] if n < len(sizes) else math.inf
            return tried[n]

        found = largest_that_fits(size, limit, first=(int(rng.integers(2, 300)), 1))
        fits = [n for n, bytes_ in tried.items() if bytes_ <= limit]
        assert found == max(fits, default=0)


def test_parts_are_the_fewest_that_fit():
    assert more_parts(24, 1, 9) == 3
    assert more_parts(24, 1, 7) == 4
    # In two parts 16 fit: eight at a time.
    assert more_parts(24, 2, 16) == 3
    # Everything fits already.
    assert more_parts(24, 1, 100) == 2
    # Nothing does, not even a part of one image.
    assert more_parts(24, 1, 0) == 2
    assert more_parts(1, 1, 1) == 0


def test_the_memory_of_a_cpu_is_the_hosts():
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    total = 1024 * int(lines[0].split()[1])
    assert device_memory() == pytest.approx(total / jax.local_device_count(), rel=0.01)


@pytest.mark.slow
def test_an_estimate_is_one_table_and_leaves_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    jax.config.update("jax_disable_most_optimizations", True)
    code = main.main(["main", CONFIG, "--mode=estimate", "--memory_gb=0.02"])
    jax.config.update("jax_disable_most_optimizations", False)
    out, err = capsys.readouterr()
    assert code == 0, err
    assert not list(tmp_path.iterdir())
    devices, params, _, _, header, *rows = out.splitlines()
    assert devices.endswith("0.02 GB each")
    assert header.split()[:2] == ["program", "batch"]
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    assert list(cells) == [
        "training",
        "model.remat=blocks",
        "accumulate=2",
        "prediction",
    ]
    # Parameters with momenta and averages, the images, and small things.
    count = int(params.split()[1].replace(",", ""))
    found = {name: list(map(float, values)) for name, values in cells.items()}
    least = 4 * 4 * count + 8 * 32 * 32 * 3
    for batch, arguments, outputs, temporaries, in_all, *_ in found.values():
        assert batch == 8
        assert in_all == pytest.approx(arguments + outputs + temporaries, abs=2e-3)
    assert least / 1e9 - 1e-3 <= found["training"][1] <= 1.2 * least / 1e9 + 1e-3
    # What is printed was seen to fit.
    assert found["accumulate=2"][-1] > found["training"][-1] > 0
