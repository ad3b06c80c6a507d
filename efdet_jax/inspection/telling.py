"""What was found of data sets, in sentences and tables."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from efdet_jax.inspection.coverage import MATCH_IOU
from efdet_jax.inspection.findings import LOOK, MEND, Finding
from efdet_jax.inspection.histograms import panels
from efdet_jax.inspection.inspecting import Inspection
from efdet_jax.inspection.measuring import Measures
from efdet_jax.pages.images import picture_element
from efdet_jax.pages.page import Chapter
from efdet_jax.pages.tables import Table

_PLACES = 20
"""Shown of each finding; all of what must be mended."""


def chapters(inspection: Inspection) -> list[Chapter]:
    """Returns all of an inspection, for a page."""
    return [
        Chapter(inspection.title, summary(inspection), None),
        Chapter("Findings", (), _findings_table(inspection.findings)),
        Chapter(
            "Numbers",
            (),
            None,
            tuple(panels(inspection.measures.numbers, inspection.labels.names)),
        ),
        Chapter("Classes", (), _classes_table(inspection)),
        Chapter(
            "Images as the network sees them",
            (
                "Boxes in the colours of their classes, and thinly in yellow every "
                "anchor that is to find one of them.",
            ),
            None,
            tuple(
                (caption, picture_element(picture, caption))
                for caption, picture in inspection.pictures
            ),
        ),
    ]


def summary(inspection: Inspection) -> tuple[str, ...]:
    """Returns what matters most, in a few sentences."""
    objects = int(inspection.measures.numbers.class_counts.sum())
    grave = [f for f in inspection.findings if f.gravity == MEND]
    doubtful = [f for f in inspection.findings if f.gravity == LOOK]
    sentences = [
        f"{len(inspection.records):,} images, {objects:,} boxes of "
        f"{inspection.labels.num_classes} classes.",
        _proof_sentence(inspection),
        *(_sentence(finding) for finding in (*grave, *doubtful)),
        *anchor_sentences(inspection.measures),
    ]
    verdict = "Nothing must be mended." if inspection.is_sound else "To be mended."
    return (verdict, *sentences)


def anchor_sentences(measures: Measures) -> tuple[str, ...]:
    """Returns how many objects have an anchor, and which anchors would do better."""
    if math.isnan(measures.matched):
        return ()
    sentence = (
        f"An anchor overlaps {measures.matched:.1%} of the boxes by IoU {MATCH_IOU} "
        "or more; the others have to do with the best that there is."
    )
    if (advice := measures.advice) is None:
        return (sentence,)
    ratios = ",".join(f"{ratio:g}" for ratio in advice.aspect_ratios)
    return (
        sentence,
        f"With --config.scaling.source=free --config.model.anchors.scale="
        f"{advice.scale:g} --config.model.anchors.aspect_ratios='({ratios})' it "
        f"would be {advice.share:.1%}.",
    )


def shared_images(inspections: Sequence[Inspection]) -> list[str]:
    """Returns the images that are in several data sets, which should have none."""
    titles: dict[bytes, dict[str, str]] = defaultdict(dict)
    for inspection in inspections:
        for record in inspection.records:
            if record.look:
                titles[record.look.digest][inspection.title] = record.title
    return [" = ".join(each.values()) for each in titles.values() if len(each) > 1]


def _proof_sentence(inspection: Inspection) -> str:
    proof = inspection.proof
    if math.isnan(proof.ap):
        return "There is no object, so nothing could be scored."
    sentence = f"Its own boxes, fed back as detections, score AP {proof.ap:.3f}."
    if proof.wrong_classes:
        names = ", ".join(inspection.labels.names[i] for i in proof.wrong_classes[:5])
        sentence += (
            f" That must be 1.000: boxes of {names} do not come back from the "
            "network's input as they were."
        )
    return sentence


def _sentence(finding: Finding) -> str:
    more = f" and {len(finding.places) - 3:,} more" if len(finding.places) > 3 else ""
    return (
        f"{finding.gravity.capitalize()}: {finding.what}, {len(finding.places):,} "
        f"({'; '.join(finding.places[:3])}{more}): {finding.remedy}."
    )


def _findings_table(findings: Sequence[Finding]) -> Table:
    rows = []
    for finding in findings:
        count = len(finding.places)
        shown = finding.places if finding.gravity == MEND else finding.places[:_PLACES]
        more = [f"and {count - len(shown):,} more"] if count > len(shown) else []
        what = f"{finding.what}, {count:,}"
        places = "\n".join([*shown, *more])
        rows.append((finding.gravity, what, finding.remedy, places))
    return Table(("", "what", "what to do", "where"), tuple(rows), 4)


def _classes_table(inspection: Inspection) -> Table:
    images = Counter(
        int(class_)
        for record in inspection.records
        if record.annotations is not None
        for class_ in set(record.annotations.classes.tolist())
    )
    counts = inspection.measures.numbers.class_counts
    total = max(int(counts.sum()), 1)
    rows = tuple(
        (name, str(id_), f"{counts[i]:,}", f"{counts[i] / total:.1%}", f"{images[i]:,}")
        for i, (id_, name) in enumerate(zip(*inspection.labels, strict=True))
    )
    return Table(("class", "id", "boxes", "share", "images"), rows, 2)
