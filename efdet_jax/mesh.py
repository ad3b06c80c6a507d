"""Where arrays live: batches split over the devices, everything else on each of them.

One code path from one CPU to a pod. Under `jit` BatchNorm and losses see the global
batch, because the arrays are global. The axis "data" divides the images of a batch,
the axis "spatial" the rows of each image, for images whose features do not fit into one
device; XLA lets neighbours exchange the rows at their border.
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, UInt8

from efdet_jax.errors import UsageError
from efdet_jax.structures import Tree

Arrays = TypeVar("Arrays", bound=tuple)
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


def make_mesh(spatial: int) -> Mesh:
    """Returns all devices of all processes, with the axes "data" and "spatial".

    Args:
      spatial: devices that share the rows of an image; neighbours of one process.
    """
    shape = (jax.device_count() // spatial, spatial)
    return jax.make_mesh(shape, ("data", "spatial"), (AxisType.Auto,) * 2)


def split(mesh: Mesh) -> NamedSharding:
    """Returns the layout of arrays whose first axis is the images of a batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def split_images(mesh: Mesh) -> NamedSharding:
    """Returns the layout of images [b h w 3]."""
    return NamedSharding(mesh, PartitionSpec("data", "spatial"))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Returns the layout of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def place_everywhere(tree: Tree, mesh: Mesh) -> Tree:
    """Puts arrays that every host has onto every device, whole."""
    layout = everywhere(mesh)

    def placed(value: Array | np.ndarray) -> Array:
        host = np.asarray(value)
        return jax.make_array_from_callback(host.shape, layout, lambda part: host[part])

    return jax.tree.map(placed, tree)


def batch_layout(batch: type[Arrays], mesh: Mesh) -> Arrays:
    """Returns the layout of each field of a batch, whose images are `image`.

    Args:
      batch: the type of the record.
      mesh: the devices.
    """
    fields: Sequence[str] = getattr(batch, "_fields")  # noqa: B009
    others, images = split(mesh), split_images(mesh)
    return batch(*(images if name == "image" else others for name in fields))


def place_batch(batch: Arrays, mesh: Mesh) -> Arrays:
    """Puts this host's share of a global batch onto its devices."""
    return jax.tree.map(
        lambda array, layout: jax.make_array_from_process_local_data(layout, array),
        batch,
        batch_layout(type(batch), mesh),
    )


def place_images(
    image: UInt8[np.ndarray, "b h w 3"], mesh: Mesh
) -> UInt8[Array, "b h w 3"]:
    """Puts this host's share of a global batch of images onto its devices."""
    return jax.make_array_from_process_local_data(split_images(mesh), image)


def any_process(flags: Sequence[bool], mesh: Mesh) -> Bool[Array | np.ndarray, " f"]:
    """Says of each flag whether any process has it set, in all of them alike.

    Does not wait: the answer is an array that devices may still be working on.
    """
    if jax.process_count() == 1:
        return np.array(flags)
    local = mesh.local_mesh.shape["data"]
    rows = np.tile(np.array(flags), (local, 1))
    placed = jax.make_array_from_process_local_data(split(mesh), rows)
    return _any_row(mesh)(placed)


@functools.cache
def _any_row(mesh: Mesh) -> Any:
    return jax.jit(lambda rows: rows.any(axis=0), out_shardings=everywhere(mesh))
