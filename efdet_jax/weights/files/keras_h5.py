"""Keras' HDF5 files, in which variables stand below their layer under their names."""

import pathlib

import h5py
import numpy as np
from jaxtyping import Shaped

from efdet_jax.errors import UsageError

_MODEL = "model_weights/"
"""Where the model stands in a file that holds its optimizer too."""


def read(path: pathlib.Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Returns the variables by name, without the ":0" that Keras 2 appends.

    Reads what `model.save_weights("x.h5")` of Keras 2, `model.save("x.h5")` of Keras 2
    and 3, and `model.save_weights("x.weights.h5")` of Keras 3 write. An optimizer in
    there is left out.

    Raises:
      UsageError: Keras has not written the file, or has written it without names, or
        its arrays are not in it.
      Exception: It is damaged.
    """
    with h5py.File(path, "r") as file:
        layers, datasets = _visit(file)
        if not layers and not any("/vars/" in name for name in datasets):
            raise UsageError(
                f"{path}: is an HDF5 file, but not of Keras (no group has "
                "weight_names): give what Keras' save_weights or save has written"
            )
        if any(layer.startswith(_MODEL) for layer in layers):
            datasets = {n: d for n, d in datasets.items() if n.startswith(_MODEL)}
        for name, dataset in datasets.items():
            if dataset.external or dataset.is_virtual:
                raise UsageError(
                    f"{path}: keeps {name[:100]!r} in another file, which is not read:"
                    " save the model again with Keras"
                )
        if sum(array.nbytes for array in datasets.values()) > path.stat().st_size:
            raise ValueError("its arrays claim more bytes than it has")
        arrays = {}
        for name, dataset in datasets.items():
            variable = _variable(name, layers)
            if variable in arrays:
                raise UsageError(
                    f"{path}: has two variables of the name {variable[:100]!r}: name"
                    " the layers and save the model again"
                )
            if dataset.dtype.kind in "fiub":
                arrays[variable] = np.asarray(dataset[()])
        return arrays


def _visit(file: h5py.File) -> tuple[set[str], dict[str, h5py.Dataset]]:
    """Returns the layers and the arrays by path. Links to other files are not followed.

    What the attributes list is the arrays' paths below the layer, so that only their
    presence matters. They are not read: in a damaged file libhdf5 can search the heap
    that holds them without end.
    """
    layers: set[str] = set()
    datasets: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = item
        # A long list is cut into weight_names0, weight_names1 and so on.
        elif "weight_names" in item.attrs or "weight_names0" in item.attrs:
            layers.add(name)

    file.visititems(visit)
    return layers, datasets


def _variable(dataset: str, layers: set[str]) -> str:
    """Returns the path below the layer, whose own name may have several parts.

    Without layers it is a .weights.h5, which numbers layers of one kind: the whole path
    is the name.
    """
    if not layers:
        return dataset
    parts = dataset.split("/")
    for length in range(1, len(parts)):
        if "/".join(parts[:length]) in layers:
            return "/".join(parts[length:]).removesuffix(":0")
    raise ValueError(f"its array {dataset[:100]!r} belongs to no layer")
