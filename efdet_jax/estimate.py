"""What a config takes of each device, known before weights, data or a workdir exist.

Programs are compiled for shapes alone, and XLA says what they would need.
"""

import functools
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from efdet_jax import mesh as meshes
from efdet_jax.assemble import Assembly, num_classes
from efdet_jax.footprint import Footprint, device_memory, footprint
from efdet_jax.structures import Tree
from efdet_jax.tasks import TASKS
from efdet_jax.training import abstract_training, compile_program
from efdet_jax.validation import check_devices

_LOG = logging.getLogger(__name__)

_MOST_TRIES = 4


class Measured(NamedTuple):
    """A program for batches of one size."""

    memory: Footprint
    xla_flops: float
    """By XLA's own count, in which kernels are nothing and a loop is one turn."""
    compile_seconds: float


class Row(NamedTuple):
    """A line of the table."""

    name: str
    batch_size: int
    measured: Measured | None
    """None where XLA found that the program cannot fit."""
    largest: str
    """Batch that fits."""


def estimate(config: ConfigDict, *, memory_gb: float | None) -> str:
    """Returns a table of what training and predicting would take of each device.

    Args:
      config: of the run.
      memory_gb: of a device, in units of 10^9 bytes; None for those that are here.

    Raises:
      UsageError: the batch does not suit the devices, they do not say what memory they
        have, or the number of classes is the data's and cannot be read.
    """
    check_devices(config, jax.device_count())
    limit = device_memory() if memory_gb is None else int(memory_gb * 1e9)
    mesh = meshes.data_mesh()
    classes = num_classes(config)
    assembly = TASKS[config.task].assemble(config, classes)
    rows = [
        *_training_rows(config, classes, mesh, limit),
        _prediction_row(config, assembly, mesh),
    ]
    devices = f"{jax.device_count()} x {jax.local_devices()[0].device_kind}"
    return (
        f"devices        {devices}, {limit / 1e9:.2f} GB each\n"
        f"params         {assembly.params:,}\n"
        f"multiply-adds  {assembly.multiply_adds:,} of an image\n\n{table(rows)}"
    )


def _training_rows(
    config: ConfigDict, classes: int, mesh: Mesh, limit: int
) -> Iterator[Row]:
    """Yields the training step as it is configured, and with what makes it less."""
    plain, largest = _training_row("training", config, classes, mesh, limit)
    yield plain
    if config.model.remat == "none":
        name = "model.remat=blocks"
        changed = _changed(config, {"model.remat": "blocks"})
        yield _training_row(name, changed, classes, mesh, limit)[0]
    if parts := more_parts(
        config.batch_size // jax.device_count(),
        config.accumulate,
        largest // jax.device_count(),
    ):
        changed = _changed(config, {"accumulate": parts})
        yield _training_row(f"accumulate={parts}", changed, classes, mesh, limit)[0]


def _changed(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict(changes)
    return changed


def _training_row(
    name: str, config: ConfigDict, classes: int, mesh: Mesh, limit: int
) -> tuple[Row, int]:
    """Returns a training step's row, and the largest batch that fits."""
    task = TASKS[config.task]
    training = abstract_training(config, task.assemble(config, classes), mesh)
    unit = config.accumulate * jax.device_count()

    @functools.cache
    def measure(units: int) -> Measured | None:
        batch = _abstract_batch(config, units * unit)
        return _measured(name, training.step, training.state, batch)

    def total(units: int) -> float:
        measured = measure(units)
        return measured.memory.total if measured else math.inf

    asked = config.batch_size // unit
    largest = unit * largest_that_fits(
        total, limit, first=(asked, 2 if asked == 1 else 1)
    )
    return Row(name, config.batch_size, measure(asked), str(largest)), largest


def _prediction_row(config: ConfigDict, assembly: Assembly, mesh: Mesh) -> Row:
    size = config.eval.batch_size
    predict: Any = TASKS[config.task].make_predict_step(config, assembly, mesh)
    batch = _abstract_batch(config, size)
    measured = _measured("prediction", predict, assembly.variables, batch)
    return Row("prediction", size, measured, "")


def _abstract_batch(config: ConfigDict, size: int) -> Tree:
    """Returns the shapes of a global batch of `size` images."""
    one_each = _changed(config, {"batch_size": jax.process_count()})
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct((size, *array.shape[1:]), array.dtype),
        TASKS[config.task].blank_batch(one_each),
    )


def _measured(
    name: str, program: jax.stages.Wrapped, variables: Tree, batch: Tree
) -> Measured | None:
    _LOG.info("compiling: %s, batch of %d", name, batch.image.shape[0])
    try:
        compiled = compile_program(program, variables, batch)
    except jax.errors.JaxRuntimeError as error:
        # Some compilers refuse a program that is larger than their device.
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    return Measured(footprint(compiled.step), **compiled.cost)


def largest_that_fits(
    size_of: Callable[[int], float], limit: float, *, first: tuple[int, int]
) -> int:
    """Returns the largest n that fits, as far as a straight line finds it.

    A line through two sizes says which n to try; what has been tried and is nearest to
    the limit gives the next line. Whatever is returned has been tried.

    Args:
      size_of: how large n is, nearly linear in n; infinite where that is not known.
      limit: the largest size that fits.
      first: two n to begin with.

    Returns:
      At least 0, which means that none fits.
    """
    sizes = {n: size_of(n) for n in first}
    for _ in range(_MOST_TRIES):
        low = max((n for n in sizes if sizes[n] <= limit), default=0)
        high = min((n for n in sizes if sizes[n] > limit), default=math.inf)
        guess = int(min(_on_a_line(sizes, limit), high - 1))
        if guess <= low:
            break
        sizes[guess] = size_of(guess)
    return max((n for n in sizes if sizes[n] <= limit), default=0)


def _on_a_line(sizes: Mapping[int, float], limit: float) -> int:
    """Returns the n whose size is `limit`, by the two known ones nearest to it."""
    known = sorted(
        (n for n in sizes if math.isfinite(sizes[n])),
        key=lambda n: abs(sizes[n] - limit),
    )
    if len(known) < 2:
        return max(sizes) // 2
    a, b = known[:2]
    slope = (sizes[a] - sizes[b]) / (a - b)
    if slope <= 0:
        return 2 * max(a, b)
    return math.floor(a + (limit - sizes[a]) / slope)


def more_parts(images: int, parts: int, largest: int) -> int:
    """Returns in how many parts images are to be seen, more than now; 0 for no way.

    The fewest that fit, and where nothing fits, or everything does, the next number.

    Args:
      images: of a batch, on each device.
      parts: that they are seen in now.
      largest: images that fit in so many parts.
    """
    more = [n for n in range(parts + 1, images + 1) if images % n == 0]
    fitting = [n for n in more if images // n <= largest // parts]
    return next(iter(fitting or more), 0)


HEADER = (
    "program",
    "batch",
    "arguments GB",
    "outputs GB",
    "temporaries GB",
    "in all GB",
    "XLA GFLOP",
    "compile s",
    "largest batch",
)


def table(rows: list[Row]) -> str:
    """Returns rows under their header, memory per device."""
    lines = [HEADER, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        + "\n"
        for cells in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    if row.measured is None:
        figures = ("too large", *[""] * 5)
    else:
        memory, flops, seconds = row.measured
        figures = (
            *(f"{size / 1e9:.3f}" for size in (*memory, memory.total)),
            f"{flops / 1e9:.1f}",
            f"{seconds:.1f}",
        )
    return row.name, str(row.batch_size), *figures, row.largest
