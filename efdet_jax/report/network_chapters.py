"""What a run's network has learned, drawn."""

from collections.abc import Collection, Mapping
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from efdet_jax.data.source import Source
from efdet_jax.diagnosis.energy import energy_map, level_energy
from efdet_jax.diagnosis.fusion_weights import learned_cells
from efdet_jax.inference.loading import OpenedModel
from efdet_jax.inspection.histograms import panels
from efdet_jax.inspection.measuring import measure
from efdet_jax.inspection.telling import anchor_sentences
from efdet_jax.models.detector import cell_levels, normalise
from efdet_jax.pages.images import panel, picture_element, wide
from efdet_jax.pages.page import Chapter
from efdet_jax.pages.tables import Table, three_decimals
from efdet_jax.report.fusion_graph import draw_cell
from efdet_jax.report.judged import first_sound
from efdet_jax.structures import Annotations, Tree

_IMAGES = 3
"""Whose features are drawn."""
_TILE = 256
"""Pixels of the longer side of each."""


def fusion_chapter(opened: OpenedModel) -> Chapter:
    """Returns the cells of the neck with their learned weights.

    Args:
      opened: the network.
    """
    neck = opened.config.model.neck
    cells = learned_cells(
        opened.variables["params"]["neck"],
        table=neck.name,
        levels=cell_levels(tuple(opened.config.model.levels), neck.coarse),
        fusion=neck.fusion,
    )
    is_learned = any(edge.share is not None for cell in cells for edge in cell.edges)
    sentences = [f"{neck.name}, fusion {neck.fusion}, cells: {len(cells)}."]
    sentences.append(
        "What comes in is on the left, what goes out on the right. The number on an "
        "edge is what its source weighs in the node's sum."
        if is_learned
        else "Nothing is learned: every input of a node counts alike, or by attention."
    )
    pictures = tuple(
        (cell.name, panel(lambda axes, cell=cell: draw_cell(axes, cell), (3.9, 4.2)))
        for cell in cells
    )
    return Chapter("What the neck listens to", tuple(sentences), None, pictures)


def anchors_chapter(
    annotations: Collection[Annotations], names: Collection[str], config: ConfigDict
) -> Chapter:
    """Returns what is in the validation data, and how the anchors suit it.

    Args:
      annotations: of every image.
      names: of the classes.
      config: of the run.
    """
    measures = measure(annotations, len(names), config)
    return Chapter(
        "Validation data and anchors",
        anchor_sentences(measures),
        None,
        tuple(panels(measures.numbers, list(names))),
    )


def energy_chapter(opened: OpenedModel, source: Source) -> Chapter | None:
    """Returns how strongly each level answers to some images; None without images.

    Args:
      opened: the network.
      source: where the images are from.
    """
    chosen = first_sound(source, opened.config, _IMAGES)
    if not chosen:
        return None
    images = np.stack([example.image for _, example in chosen])
    parts = features(opened, images)
    energies = {part: level_energy(parts[part]) for part in parts}
    levels = sorted({level for each in energies.values() for level in each})
    rows = tuple(
        (f"{level}", *(three_decimals(each.get(level)) for each in energies.values()))
        for level in levels
    )
    maps = {level: energy_map(each) for level, each in parts["neck"].items()}
    pictures = tuple(
        (
            f"{source.title(i)}, and P{', P'.join(map(str, maps))}",
            wide(_strip(images[row], maps, row, source.title(i))),
        )
        for row, (i, _) in enumerate(chosen)
    )
    sentence = (
        f"Root of the mean square of the features of {len(images)} images, by level: "
        "what the backbone makes, and what the heads are given. In the pictures each "
        "level has colours of its own, from its least to its greatest."
    )
    header = ("level", *energies)
    return Chapter(
        "How strongly each level answers",
        (sentence,),
        Table(header, rows, 1),
        pictures,
    )


def features(
    opened: OpenedModel, images: UInt8[np.ndarray, "b h w 3"]
) -> dict[str, dict[int, Float[np.ndarray, "b _ _ _"]]]:
    """Returns the pyramids of backbone and neck, by level.

    Args:
      opened: the network.
      images: its input.
    """
    model, names = opened.assembly.model, ("backbone", "neck")

    @jax.jit
    def pyramids(variables: Tree, images: Array) -> dict[str, Any]:
        _, kept = model.apply(
            variables,
            normalise(images, **opened.config.normalise.to_dict()),
            train=False,
            capture_intermediates=lambda module, _: module.name in names,
            mutable=["intermediates"],
        )
        return {name: kept["intermediates"][name]["__call__"][0] for name in names}

    return {
        name: {
            level: np.asarray(feature, np.float32)
            for level, feature in sorted(levels.items())
        }
        for name, levels in pyramids(opened.variables, images).items()
    }


def _strip(
    image: UInt8[np.ndarray, "h w 3"],
    maps: Mapping[int, Float[np.ndarray, "b _ _"]],
    row: int,
    title: str,
) -> str:
    """Returns an image and its levels in a row, as an HTML element."""
    height, width = image.shape[:2]
    factor = _TILE / max(height, width)
    size = (round(width * factor), round(height * factor))
    gap = np.full((size[1], _TILE // 32, 3), 255, np.uint8)
    tiles = [cv2.resize(image, size)]
    for level in sorted(maps):
        cells = maps[level][row]
        span = max(float(np.ptp(cells)), 1e-12)
        grey = np.round(255 * (cells - cells.min()) / span).astype(np.uint8)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST)
        tiles += [gap, cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1]]
    return picture_element(np.concatenate(tiles, axis=1), f"features of {title}")
