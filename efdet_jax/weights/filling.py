"""The arrays of a weight file into the variables of a model, and what became of each.

What a file cannot fill keeps its initial values only where that is meant: the class
predictor for other classes, the parts that a backbone's file does not cover, and what
the caller names. All else is an error, and then nothing has been loaded.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from efdet_jax.data.labels import LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import Tree
from efdet_jax.weights import predictor
from efdet_jax.weights.names.families import TFLITE, guess
from efdet_jax.weights.opening import (
    Weights,
    anchors_per_cell,
    known_classes,
    layout_of,
    num_predicted,
    path_of,
)

_NOTHING = r"(?!)"
"""A pattern that matches nothing."""


class Report(NamedTuple):
    """What became of every variable and every array. Variables are named by path."""

    weights: Weights
    loaded: list[str]
    initial: dict[str, str]
    """Why each of these has kept its initial value, wholly or in part."""
    unused: list[str]
    """Arrays of the file that the model has no place for, by the family's names."""
    coverage: float
    """Share of the numbers of the model that come from the file, 0..1."""

    def table(self) -> str:
        """Returns what a person wants to see before training from these."""
        rooms = dict.fromkeys(path.partition("/")[0] for path in self._paths())
        lines = [
            f"weights from {self.weights.path} ({self.weights.family.name})",
            f"  {'':12} {'loaded':>8} {'re-initialised':>15}",
        ]
        for room in rooms:
            counts = [
                sum(path.startswith(f"{room}/") for path in paths)
                for paths in (self.loaded, self.initial)
            ]
            lines.append(f"  {room:12} {counts[0]:8} {counts[1]:15}")
        lines.append(f"  {'unused':12} {len(self.unused):8} arrays of the file")
        lines.append(f"  {'coverage':12} {self.coverage:8.1%} of the model's numbers")
        reasons: dict[str, list[str]] = {}
        for path, reason in self.initial.items():
            reasons.setdefault(reason, []).append(path)
        for reason, paths in reasons.items():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            lines.append(f"  re-initialised: {paths[0]}{more}: {reason}")
        if self.weights.family is TFLITE:
            lines.append(
                "  BatchNorm statistics are not in the file: keep "
                "config.model.frozen.batch_norm=True when training"
            )
        return "\n".join(lines)

    def _paths(self) -> list[str]:
        return sorted([*self.loaded, *self.initial])


def fill(
    weights: Weights, shapes: Tree, labels: LabelMap | None, config: ConfigDict
) -> tuple[dict[str, Tree], Report]:
    """Returns variables from a weight file, and what became of each.

    Args:
      weights: from `open_weights`.
      shapes: of the model's variables, from `abstract_variables`.
      labels: the model's classes, if they are known.
      config: for `seed`, `foreground_prior` if any, and the `init_from_…` keys.

    Raises:
      UsageError: a variable is missing in the file, has another shape or is not a
        finite number; or the file has arrays of a detector that the model has no place
        for; and config.init_from_ignore does not name them.
    """
    variables = initial_variables(
        shapes, seed=config.seed, foreground_prior=config.get("foreground_prior")
    )
    family, layout = weights.family, layout_of(config)
    is_ignored = re.compile(config.init_from_ignore or _NOTHING).match
    change = _predictor_change(weights, labels, config)
    predictor_path = predictor.PATHS[config.task]
    loaded, initial, used = dict[str, int](), dict[str, str](), set[str]()

    def value(path: tuple[Any, ...], before: np.ndarray) -> np.ndarray:
        name = path_of(path)
        names = family.names(name, layout)
        used.update(names)
        if is_ignored(name):
            initial[name] = "config.init_from_ignore names it"
            return before
        if name.partition("/")[0] not in family.covers:
            initial[name] = f"{family.name} has none"
            return before
        theirs = _arrays(weights, name, names)
        if change is not None and name.startswith(predictor_path):
            initial[name] = change.reason
            return change.values(weights, before, theirs)
        array = family.arrange(theirs, before.shape)
        if array is None:
            raise UsageError(_wrong_shape(weights, name, names, theirs, before))
        if not np.isfinite(array).all():
            raise UsageError(
                f"{weights.path}: {names[0]} holds numbers that are not finite: take "
                "another checkpoint"
            )
        loaded[name] = array.size
        return np.asarray(array, before.dtype)

    filled = jax.tree_util.tree_map_with_path(value, variables)
    unused = [name for name in weights.arrays if name not in used]
    strangers = [n for n in unused if n.startswith(family.rooms) and not is_ignored(n)]
    if strangers:
        raise UsageError(
            f"{weights.path}: the model has no place for {strangers[0]} and "
            f"{len(strangers) - 1} more arrays{_looks_like(weights)}: use the "
            "experiment of that model, or name them with --config.init_from_ignore"
        )
    total = sum(leaf.size for leaf in jax.tree.leaves(variables))
    coverage = sum(loaded.values()) / total
    return filled, Report(weights, list(loaded), initial, unused, coverage)


def _arrays(weights: Weights, name: str, names: Sequence[str]) -> list[np.ndarray]:
    missing = [n for n in names if n not in weights.arrays]
    if missing or not names:
        what = missing[0] if missing else f"array for {name}"
        raise UsageError(
            f"{weights.path}: has no {what}, which the model needs for {name}"
            f"{_looks_like(weights)}: use the experiment of that model, or name the "
            f"variable with --config.init_from_ignore={name}"
        )
    return [weights.arrays[n] for n in names]


def _wrong_shape(
    weights: Weights,
    name: str,
    names: Sequence[str],
    theirs: Sequence[np.ndarray],
    ours: np.ndarray,
) -> str:
    return (
        f"{weights.path}: {names[0]} has shape {list(theirs[0].shape)}, but the "
        f"model's {name} has {list(ours.shape)}{_looks_like(weights)}: use the "
        "experiment of that model, or name the variable with "
        f"--config.init_from_ignore={name}"
    )


def _looks_like(weights: Weights) -> str:
    guessed = guess(weights.arrays, weights.family)
    return f" (the file looks like {guessed})" if guessed else ""


class _PredictorChange(NamedTuple):
    """Why the class predictor is not simply loaded, and what is kept of it."""

    reason: str
    classes: dict[int, int]
    """{our class: their class} of what is kept."""
    num_theirs: int
    num_anchors: int

    def values(
        self, weights: Weights, ours: np.ndarray, theirs: Sequence[np.ndarray]
    ) -> np.ndarray:
        shape = (*ours.shape[:-1], self.num_anchors * self.num_theirs)
        array = weights.family.arrange(theirs, shape)
        if array is None:
            raise UsageError(
                f"{weights.path}: its class predictor has shape "
                f"{list(theirs[0].shape)}, expected were {list(shape)}"
                f"{_looks_like(weights)}: use the experiment of that model"
            )
        return predictor.with_shared_rows(
            ours, array, self.classes, num_anchors=self.num_anchors
        )


def _predictor_change(
    weights: Weights, labels: LabelMap | None, config: ConfigDict
) -> _PredictorChange | None:
    """Returns what happens to the class predictor, None if it is simply loaded."""
    theirs = num_predicted(weights, config)
    known = known_classes(weights, config)
    if labels is None or not theirs:
        return None
    if known is None:
        if theirs == labels.num_classes:
            return None
        known = LabelMap((), ())
    elif predictor.are_same(labels, known):
        return None
    classes: dict[int, int] = {}
    if config.init_from_shared_classes:
        classes = predictor.shared_classes(labels, known)
    reason = f"{labels.num_classes} classes instead of {theirs}"
    if labels.num_classes == theirs:
        reason = f"{theirs} classes of other names"
    if classes:
        kept = ", ".join(labels.names[class_] for class_ in list(classes)[:4])
        reason += f", {len(classes)} kept by name ({kept} …)"
    return _PredictorChange(reason, classes, theirs, anchors_per_cell(config))
