"""Everything that there is to know of a data set before a network sees it."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from efdet_jax.anchors import anchor_grid
from efdet_jax.assemble import pad_colour
from efdet_jax.data.augment.example import as_example
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.pipeline import fitted
from efdet_jax.data.sound import read_sound
from efdet_jax.data.source import Source
from efdet_jax.inspection.findings import MEND, NOTE, Finding, find
from efdet_jax.inspection.measuring import Measures, measure
from efdet_jax.inspection.proof import Proof, prove
from efdet_jax.inspection.survey import Record, survey
from efdet_jax.pictures import Picture, draw_objects
from efdet_jax.structures import BACKGROUND
from efdet_jax.targets import assign

_PICTURES, _SUSPECTS = 12, 4
"""How many images are drawn, and how many of them because something is strange."""


class Inspection(NamedTuple):
    """What was found of a data set."""

    title: str
    labels: LabelMap
    records: Collection[Record]
    findings: list[Finding]
    proof: Proof
    measures: Measures
    pictures: list[tuple[str, Picture]]

    @property
    def is_sound(self) -> bool:
        """Says that nothing must be mended."""
        is_proven = not self.proof.wrong_classes
        return is_proven and all(f.gravity != MEND for f in self.findings)


def inspect(title: str, source: Source, config: ConfigDict) -> Inspection:
    """Reads every image of a data set and says what is in it.

    Args:
      title: what the data set was called.
      source: the data set.
      config: of the detector that is to see it.
    """
    records = survey(source, range(len(source)), num_threads=config.data.num_threads)
    findings = find(
        records,
        source.flaws,
        source.labels,
        max_boxes=config.data.max_boxes,
        complete=True,
    )
    known = [r.annotations for r in records if r.annotations is not None]
    return Inspection(
        title=title,
        labels=source.labels,
        records=records,
        findings=findings,
        proof=prove(
            known,
            image_size=tuple(config.image_size),
            resize=config.data.resize,
            num_classes=source.labels.num_classes,
        ),
        measures=measure(known, source.labels.num_classes, config),
        pictures=_drawn(source, _chosen(records, findings), config),
    )


def _chosen(records: Collection[Record], findings: Sequence[Finding]) -> list[int]:
    """Returns images to draw: some that are strange, others evenly from all."""
    places = [
        place
        for finding in findings
        if finding.gravity != NOTE
        for place in finding.places[:_SUSPECTS]
    ]
    sound = [record for record in records if not record.error]
    suspects = [
        record.index
        for record in sound
        if any(place.startswith(f"{record.title}:") for place in places)
    ][:_SUSPECTS]
    count = min(_PICTURES - len(suspects), len(sound))
    evenly = np.linspace(0, len(sound) - 1, count).round().astype(int)
    return list(dict.fromkeys([*suspects, *(sound[row].index for row in evenly)]))


def _drawn(
    source: Source, indices: Sequence[int], config: ConfigDict
) -> list[tuple[str, Picture]]:
    image_size = tuple(config.image_size)
    anchors = anchor_grid(
        image_size,
        levels=tuple(config.model.levels),
        **config.model.anchors.to_dict(),
    )
    pictures = []
    for i in indices:
        example = fitted(
            as_example(read_sound(source, i)),
            image_size=image_size,
            resize=config.data.resize,
            pad_colour=pad_colour(config),
        )
        boxes = example.boxes.astype(np.float32)
        # A row of nothing as well: there may be no other.
        targets = assign(
            anchors,
            np.pad(boxes, ((0, 1), (0, 0)))[None],
            np.append(example.classes, BACKGROUND).astype(np.int32)[None],
            **config.assign.to_dict(),
        )
        is_matched = np.asarray(targets.classes[0] >= 0)
        picture = draw_objects(
            example.image,
            boxes,
            example.classes,
            names=source.labels.names,
            anchors=anchors[is_matched],
        )
        caption = f"{source.title(i)}: {len(boxes)} boxes, {is_matched.sum()} anchors"
        pictures.append((caption, picture))
    return pictures
