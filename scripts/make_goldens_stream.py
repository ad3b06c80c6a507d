"""Records the first batches of the default training stream: tests/goldens/stream.npz.

Usage: python scripts/make_goldens_stream.py

To be run again only where the stream is meant to change.
"""

import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

# pyrefly: ignore[missing-import]
from oracles.stream import default_batches  # noqa: E402

if __name__ == "__main__":
    arrays = {
        f"{number}/{name}": array
        for number, batch in enumerate(default_batches())
        for name, array in batch._asdict().items()
    }
    path = ROOT / "tests" / "goldens" / "stream.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.stat().st_size} bytes, {len(arrays)} arrays")
