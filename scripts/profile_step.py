"""Says where the time and the bytes of a training step go, by module and by layer.

python scripts/profile_step.py --config=experiments/d0.py --batch_size=4 [--forward]

The step is the one that training runs, on random images and boxes that are already on
the device; `--forward` is the network alone. It is compiled, its instructions are read
from the compiled program, and some runs of it are traced. Markdown on stdout.
What is not part of the backward pass is in the column of the forward pass.

Each moment of a traced run is shared out equally among the instructions that run in
it, so that the times add up to the time in which anything runs, however many threads
or streams there are. Operations are multiply-adds times two, of matrix products and
convolutions only. Bytes are the sizes of an instruction's operands and results. The
floor of an instruction is the longer of its operations and its bytes at the ceilings
that this machine reaches, measured before and after; floors are added up.

On a GPU, XLA_FLAGS=--xla_gpu_enable_command_buffer= keeps kernels apart in the trace.
"""

import collections
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable

import jax
from absl import flags
from contenders.batches import (  # pyrefly: ignore[missing-import]
    CLASSES,
    random_batch,
)
from jax import numpy as jnp
from ml_collections import ConfigDict
from profiling.costs import (  # pyrefly: ignore[missing-import]
    moved_bytes,
    operations,
)
from profiling.places import (  # pyrefly: ignore[missing-import]
    OTHER,
    is_backward,
    layer,
    place,
    source,
)
from profiling.program import (  # pyrefly: ignore[missing-import]
    CONTAINERS,
    Program,
    read_program,
)
from profiling.tables import (  # pyrefly: ignore[missing-import]
    Ceilings,
    Row,
    report,
)
from profiling.tracing import (  # pyrefly: ignore[missing-import]
    Event,
    shared_seconds,
    traced,
)

from efdet_jax import assemble, command
from efdet_jax import mesh as meshes
from efdet_jax.memory import keep_memory
from efdet_jax.models.initial import initial_variables
from efdet_jax.training import compile_step, make_training


def rows_of(program: Program, runs: list[list[Event]]) -> list[Row]:
    """Returns what each instruction did, as the medians over traced runs."""
    containers = [
        one.name for one in program.instructions.values() if one.opcode in CONTAINERS
    ]
    seconds = [shared_seconds(events, containers) for events in runs]
    counts = [collections.Counter(event.name for event in events) for events in runs]
    rows = []
    for name in sorted(set().union(*seconds)):
        took = statistics.median(run.get(name, 0) for run in seconds)
        count = statistics.median(run[name] for run in counts)
        one = program.instructions.get(name)
        if one is None:
            rows.append(Row(name, "", OTHER, OTHER, False, count, took, 0, 0))
            continue
        path, files = source(program, one)
        part = place(program, one, path, files)
        rows.append(
            Row(
                name=name,
                path=path,
                module=part,
                layer=layer(program, one, path, part),
                is_backward=is_backward(path),
                count=count,
                seconds=took,
                operations=count * operations(program, one),
                bytes=count * moved_bytes(program, one),
            )
        )
    return rows


def prepared(
    config: ConfigDict, batch_size: int, *, forward: bool
) -> tuple[Callable[[], object], str]:
    """Returns a run of the step or of the network alone, and its compiled text."""
    config.batch_size = batch_size
    assembly = assemble.detector(config, CLASSES)
    variables = jax.tree.map(
        jnp.asarray,
        initial_variables(assembly.variables, seed=0, foreground_prior=0.01),
    )
    batch = random_batch(config, batch_size)
    if forward:
        image = jnp.asarray(batch.image, jnp.float32) / 64 - 2
        apply = jax.jit(functools.partial(assembly.model.apply, train=False))
        network = apply.lower(variables, image).compile()
        text = network.as_text() or ""
        return lambda: jax.block_until_ready(network(variables, image)), text
    mesh = meshes.data_mesh()
    training = make_training(config, assembly, variables, mesh)
    placed = meshes.place_batch(batch, mesh)
    step = compile_step(training, placed).step
    state = [training.state]

    def run() -> None:
        state[0], _ = jax.block_until_ready(step(state[0], placed))

    return run, step.as_text() or ""


def timed(run: Callable[[], object]) -> float:
    """Returns the seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measured_ceilings(dtype: str, *, repeats: int = 9) -> Ceilings:
    """Returns the best rates of a large matrix product and of a large `x + y / 2`."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.ones((n, n), dtype)
    product = jax.jit(jnp.matmul)
    # In place: no memory is taken from the system while the clock runs.
    add = jax.jit(lambda x, y: x + y / 2, donate_argnums=1)
    x, y = jnp.ones((2, 8192, 8192), jnp.float32)
    products, additions = [], []
    for _ in range(repeats):
        products.append(timed(lambda: product(matrix, matrix).block_until_ready()))
        start = time.perf_counter()
        y = add(x, y).block_until_ready()
        additions.append(time.perf_counter() - start)
    # The first of each was compiled.
    return Ceilings(2 * n**3 / min(products[1:]), 3 * y.nbytes / min(additions[1:]))


def higher(one: Ceilings, other: Ceilings) -> Ceilings:
    """Returns the higher rates: what else runs on the machine can only slow it."""
    return Ceilings(*map(max, zip(one, other, strict=True)))


def profile(words: list[str], flag: flags.FlagValues) -> int:
    """Prints the profile."""
    config = command.experiment(words, flag)
    ceilings = measured_ceilings(config.model.dtype)
    run, text = prepared(config, flag.batch_size, forward=flag.forward)
    program = read_program(text)
    for _ in range(3):
        run()
    untraced, with_trace, runs = [], [], []
    for _ in range(flag.steps):
        untraced.append(timed(run))
        runs.append(traced(lambda: with_trace.append(timed(run)), program))
    if not any(runs):
        sys.exit(f"the trace names no instruction of {program.name}")
    ceilings = higher(ceilings, measured_ceilings(config.model.dtype))
    rows = rows_of(program, runs)
    busy = sum(row.seconds for row in rows)
    without, traced_run = statistics.median(untraced), statistics.median(with_trace)
    height, width = config.image_size
    print(
        f"{'Forward pass' if flag.forward else 'Training step'} of {flag.batch_size} "
        f"images of {height} x {width} in {config.model.dtype}, "
        f"{jax.devices()[0].device_kind}, JAX {jax.__version__}; medians of "
        f"{flag.steps} runs.\n\n"
        f"- Untraced {1e3 * without:.1f} ms; traced {1e3 * traced_run:.1f} ms, of "
        f"which in {1e3 * busy:.1f} ms an instruction ran, {len(rows)} in all. "
        "Tracing costs what lies between the first two, most where instructions "
        "are small.\n"
        f"- The load of the machine was {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
        "cores. What else runs on them is in all of these times.\n"
        f"- Ceilings measured here: {ceilings.operations / 1e9:.0f} GFLOP/s (matrix "
        f"product), {ceilings.bytes / 1e9:.1f} GB/s (x + y / 2). What is still in a "
        "cache is read faster than that, so that a time may be under its floor.\n"
    )
    print(report(rows, ceilings, flag.top))
    return 0


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    options = command.new_options(argv, config="Experiment to profile.")
    count = functools.partial(flags.DEFINE_integer, flag_values=options)
    count("batch_size", 4, "Images per step.", lower_bound=1)
    count("steps", 5, "Traced runs to take medians of.", lower_bound=1)
    count("top", 30, "Slowest instructions to list.")
    flags.DEFINE_bool(
        "forward", False, "The network alone, without training.", flag_values=options
    )
    return command.run(profile, argv, options, about=__doc__)


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    sys.exit(main(sys.argv))
