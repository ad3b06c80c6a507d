"""Where arrays live: batches split over the devices, everything else on each of them.

One code path from one CPU to a pod. Under `jit` BatchNorm and losses see the global
batch, because the arrays are global.
"""

from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from efdet_jax.errors import UsageError

Arrays = TypeVar("Arrays")
"""A record of arrays."""


def choose_platform(name: str) -> None:
    """Makes JAX compute on a kind of device; before anything has been computed.

    Args:
      name: cpu, gpu or tpu.

    Raises:
      UsageError: there is none.
    """
    jax.config.update("jax_platforms", name)
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        found = " ".join(str(error).split())[:200]
    if found != name:
        raise UsageError(
            f"--device={name} cannot be used ({found}): install JAX for it, or leave "
            "--device out"
        )


def data_mesh() -> Mesh:
    """Returns all devices of all processes in a row, the axis "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), (AxisType.Auto,))


def split(mesh: Mesh) -> NamedSharding:
    """Returns the layout of arrays whose first axis is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Returns the layout of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def place_batch(batch: Arrays, mesh: Mesh) -> Arrays:
    """Puts this host's share of a global batch onto its devices."""
    layout = split(mesh)
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(layout, array), batch
    )
