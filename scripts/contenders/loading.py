"""The input pipelines of `bench_input.py`, as contenders of `bench.py`.

A turn is a while of batches, and its seconds are those of one batch.
"""

import os
import pathlib
import sys
import tempfile
from importlib.metadata import version

import turns  # pyrefly: ignore[missing-import]

sys.path.append(str(pathlib.Path(__file__).parents[1]))
import bench_input  # pyrefly: ignore[missing-import]

IMAGES, SECONDS = 1024, 6.0


def main() -> None:
    """Takes its turns."""
    case = turns.case()
    threads = len(os.sched_getaffinity(0))
    package = {"efdet_jax": "grain", "tf.data": "tensorflow-cpu"}[case["name"]]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bench_input.write_data(folder, IMAGES)
        batches = (
            bench_input.ours(folder, threads, workers=0)
            if case["name"] == "efdet_jax"
            else bench_input.theirs(folder, threads)
        )
        turns.serve(
            lambda: bench_input.BATCH / bench_input.speed(batches, SECONDS),
            {
                "threads": threads,
                "dtype": "uint8",
                "device": "cpu",
                "versions": {package: version(package)},
            },
            warm_up=case["warm_up"],
        )


if __name__ == "__main__":
    main()
