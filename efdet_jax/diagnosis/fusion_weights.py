"""What the nodes of a neck have learned to listen to."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp

from efdet_jax.models.fusion import WEIGHTINGS
from efdet_jax.models.necks import NECKS, Node, Nodes


class Edge(NamedTuple):
    """From one node of a cell to another."""

    source: str
    node: str
    share: float | None
    """Of the source in the node's sum; None where nothing is learned."""


class Cell(NamedTuple):
    """A cell of a neck with what it has learned."""

    name: str
    nodes: Nodes
    edges: tuple[Edge, ...]


def learned_cells(
    neck: Mapping[str, Any], *, table: str, levels: tuple[int, int], fusion: str
) -> list[Cell]:
    """Returns the cells of a neck, in their order.

    Args:
      neck: its parameters.
      table: a key of `NECKS`.
      levels: finest and coarsest level that its cells have.
      fusion: one of `fusion.CHOICES`.
    """
    nodes = NECKS[table](*levels)
    names = [name for name in neck if name.startswith("cell_")]
    return [
        Cell(name, nodes, tuple(_edges(nodes, neck[name], fusion)))
        for name in sorted(names, key=lambda name: int(name.partition("_")[2]))
    ]


def _edges(nodes: Nodes, parameters: Mapping[str, Any], fusion: str) -> list[Edge]:
    return [
        Edge(source, node.name, share)
        for node in nodes
        for source, share in zip(
            node.inputs, _shares(node, parameters, fusion), strict=True
        )
    ]


def _shares(
    node: Node, parameters: Mapping[str, Any], fusion: str
) -> list[float] | list[None]:
    """Returns what each input of a node weighs in its sum."""
    weighting = node.fusion or fusion
    if len(node.inputs) == 1 or weighting not in WEIGHTINGS:
        return [None] * len(node.inputs)
    weights = jnp.asarray(parameters[f"{node.name}_weights"], jnp.float32)
    return np.asarray(WEIGHTINGS[weighting](weights)).tolist()
