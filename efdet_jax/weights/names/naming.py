"""From the path of one of our variables to its name in another library.

A family's table has a row for each kind of variable: our path, with braces where it
has a number or a word, and theirs. What braces may hold on the left:

    {block}, {first}  block of the backbone; `first`: of its first stage alone, whose
                      blocks do not expand and are named otherwise by most
    {cell} {node}     cell of the neck and its node, such as p4_td
    {source}          level of the feature that an edge of the neck comes from
    {head}            class or box
    {repeat} {level}  hidden convolution of a head, and pyramid level
    {layer}           depthwise or pointwise
    {leaf}            kernel or bias
    {norm}            scale, bias, mean or var

The right side has the same and what follows from them:

    {node} {feature}  number of the node, and that with the cell's inputs counted first
    {rung}            source or level as levels above the finest
    {edge}            which of its node's inputs the edge is
    {stage} {place}   stage of the block and its place in there, from 0
    {lettered}        the same with stages from 1 and letters, such as 2a
    {leaf} {norm}     in the family's words
"""

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from efdet_jax.models.necks import Node, bifpn


class Layout(NamedTuple):
    """What names depend on, taken from a config's model section.

    Attributes:
      backbone: "efficientnet" or "resnet".
      stages: blocks of each stage of the backbone.
      levels: finest and coarsest pyramid level.
    """

    backbone: str
    stages: tuple[int, ...]
    levels: tuple[int, int]


class Words(NamedTuple):
    """What a library calls the arrays of a layer, by what we call them."""

    leaf: Mapping[str, str]
    norm: Mapping[str, str]


KERAS = Words(
    leaf={"kernel": "kernel", "bias": "bias"},
    norm={
        "scale": "gamma",
        "bias": "beta",
        "mean": "moving_mean",
        "var": "moving_variance",
    },
)
TORCH = Words(
    leaf={"kernel": "weight", "bias": "bias"},
    norm={
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
    },
)

_BRACES = {
    "first": r"\d+",
    "block": r"\d+",
    "cell": r"\d+",
    "node": r"p\d+_(?:td|out)",
    "source": r"\d+",
    "head": "class|box",
    "repeat": r"\d+",
    "level": r"\d+",
    "layer": "depthwise|pointwise",
    "leaf": "kernel|bias",
    "norm": "scale|bias|mean|var",
}


def translate(
    path: str, layout: Layout, table: Mapping[str, str], words: Words
) -> str | None:
    """Returns the name that `table` gives to our variable, None where it has none.

    The first row that fits counts.
    """
    for row, name in table.items():
        found = _pattern(row).fullmatch(path)
        if found is None:
            continue
        groups = found.groupdict()
        if "first" in groups and int(groups["first"]) >= layout.stages[0]:
            continue
        return name.format_map(_numbers(groups, layout, words))
    return None


def under(ours: str, theirs: str, rows: Mapping[str, str]) -> dict[str, str]:
    """Returns `rows` with something before each of our paths and of their names."""
    return {ours + row: theirs + name for row, name in rows.items()}


def node_inputs(path: str, layout: Layout) -> int:
    """Returns how many features the node in this path of the neck fuses."""
    (name,) = re.findall(_BRACES["node"], path)
    return len(_nodes(layout.levels)[name].inputs)


@functools.cache
def _pattern(row: str) -> re.Pattern[str]:
    return re.compile(
        re.sub(r"{(\w+)}", lambda found: f"(?P<{found[1]}>{_BRACES[found[1]]})", row)
    )


@functools.cache
def _nodes(levels: tuple[int, int]) -> dict[str, Node]:
    return {node.name: node for node in bifpn(*levels)}


def _numbers(
    groups: Mapping[str, str], layout: Layout, words: Words
) -> dict[str, int | str]:
    """Returns what the braces of the right side stand for."""
    numbers: dict[str, int | str] = dict(groups)
    finest, coarsest = layout.levels
    for brace, text in groups.items():
        match brace:
            case "block" | "first":
                stage, place = _place(int(text), layout.stages)
                letter = chr(ord("a") + place)
                numbers |= {"block": text, "stage": stage, "place": place}
                numbers["lettered"] = f"{stage + 1}{letter}"
            case "node":
                number = list(_nodes(layout.levels)).index(text)
                numbers["node"] = number
                numbers["feature"] = coarsest - finest + 1 + number
            case "source":
                inputs = _nodes(layout.levels)[groups["node"]].inputs
                numbers["rung"] = int(text) - finest
                numbers["edge"] = inputs.index(f"p{text}_in")
            case "level":
                numbers["rung"] = int(text) - finest
            case "leaf" | "norm":
                numbers[brace] = getattr(words, brace)[text]
    return numbers


def _place(block: int, stages: tuple[int, ...]) -> tuple[int, int]:
    for stage, repeats in enumerate(stages):
        if block < repeats:
            return stage, block
        block -= repeats
    raise ValueError(f"no block {block} beyond the last of {stages}")
