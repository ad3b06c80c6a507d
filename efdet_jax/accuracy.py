"""Classifying a whole data set and scoring it."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from efdet_jax.assemble import Assembly, reading
from efdet_jax.data.labelled import eval_batches
from efdet_jax.data.source import Source
from efdet_jax.models.detector import normalise
from efdet_jax.pictures import draw_class
from efdet_jax.predicting import PredictStep, compiled, latency, predictions
from efdet_jax.structures import Evaluation, LabelledBatch, Tree

FIGURES = {"top1": 1, "top5": 5}
"""How many guesses count. A figure is the share of images whose class is among them."""


class Prediction(NamedTuple):
    """What a classifier says of a batch, beside the truth."""

    rank: Int[Array | np.ndarray, " b"]
    """Of the true class, from `rank_of_class`."""
    classes: Int[Array | np.ndarray, " b"]
    """The likeliest ones."""
    scores: Float[Array | np.ndarray, " b"]
    """Their probabilities."""
    image_index: Int[Array | np.ndarray, " b"]


def rank_of_class(
    logits: Float[Array, "b k"], classes: Int[Array, " b"]
) -> Int[Array, " b"]:
    """Returns how many other classes are found no less likely than the true one.

    0 is best. So a network that finds all classes equally likely gets none right, and
    neither does one whose logits are not numbers.
    """
    of_truth = jnp.take_along_axis(logits, classes[:, None], axis=1)
    return jnp.sum(~(logits < of_truth), axis=1) - 1


def make_predict_step(
    model: nn.Module,
    mesh: Mesh,
    *,
    normalisation: Mapping[str, tuple[float, float, float]],
) -> PredictStep:
    """Returns a compiled (variables, batch) → `Prediction`.

    Args:
      model: the network.
      mesh: the devices.
      normalisation: arguments of `normalise`.
    """

    def predict(variables: Tree, batch: LabelledBatch) -> Prediction:
        image = normalise(batch.image, **normalisation)
        logits: Any = model.apply(variables, image, train=False)
        return Prediction(
            rank_of_class(logits, jnp.asarray(batch.classes)),
            jnp.argmax(logits, axis=1),
            jnp.max(jax.nn.softmax(logits), axis=1),
            batch.image_index,
        )

    return compiled(predict, mesh)


def evaluate(
    predict_step: PredictStep,
    variables: Tree,
    source: Source,
    batches: Iterable[LabelledBatch],
    mesh: Mesh,
    *,
    num_pictures: int,
) -> Evaluation:
    """Scores every image of `source` exactly once.

    Args:
      predict_step: from `make_predict_step`.
      variables: `params` and `batch_stats`.
      source: the images.
      batches: all of its images once, from `data.labelled.eval_batches`.
      mesh: the devices.
      num_pictures: how many images to draw with truth and best guess.
    """
    names = source.labels.names
    ranks, pictures, times = [], [], []
    for batch, prediction, rows, milliseconds in predictions(
        predict_step, variables, batches, mesh, num_images=len(source)
    ):
        times.append(milliseconds)
        ranks += prediction.rank[rows].tolist()
        # Process 0 has its own rows first among those of all processes.
        here = [row for row in rows if row < len(batch.image)]
        for row in here[: num_pictures - len(pictures)]:
            found = names[prediction.classes[row]]
            pictures.append(
                draw_class(
                    np.asarray(batch.image[row]),
                    names[batch.classes[row]],
                    f"{found} {prediction.scores[row]:.2f}",
                    is_right=bool(prediction.rank[row] == 0),
                )
            )
    metrics = {
        name: float(np.mean(np.array(ranks) < guesses))
        for name, guesses in FIGURES.items()
    }
    return Evaluation(metrics | latency(times), pictures)


def configured_predict_step(
    config: ConfigDict, assembly: Assembly, mesh: Mesh
) -> PredictStep:
    """Returns `make_predict_step` as the config says."""
    return make_predict_step(
        assembly.model, mesh, normalisation=config.normalise.to_dict()
    )


def make_evaluator(
    config: ConfigDict, assembly: Assembly, source: Source, mesh: Mesh
) -> Callable[[Tree], Evaluation]:
    """Returns what scores variables on `source` as the config says."""
    predict_step = configured_predict_step(config, assembly, mesh)

    def evaluator(variables: Tree) -> Evaluation:
        batches = eval_batches(
            source,
            image_size=tuple(config.image_size),
            crop_padding=config.data.crop_padding,
            **reading(config, config.eval.batch_size),
        )
        with contextlib.closing(batches):
            return evaluate(
                predict_step,
                variables,
                source,
                batches,
                mesh,
                num_pictures=config.eval.pictures,
            )

    return evaluator
