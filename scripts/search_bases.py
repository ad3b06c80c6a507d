"""Searches the bases of compound scaling as EfficientNet did, at toy size.

python scripts/search_bases.py [STEP [TOLERANCE]]

Trains a small EfficientNet on drawn objects, scaled by each (alpha, beta, gamma) of
the grid, which all about double its multiply-adds; best first. Alone at the top, "none"
is the network before scaling. Section 3.3 of arXiv 1905.11946, step 1.
"""

import pathlib
import sys
import tempfile

from efdet_jax.classifier_config import get_small_classifier_config
from efdet_jax.memory import use_huge_pages
from efdet_jax.scaling import Bases, candidate_bases
from efdet_jax.train import train

UNSCALED = Bases(1.0, 1.0, 1.0)


def row(bases: Bases) -> tuple[float, str]:
    """Returns the accuracy of a network that these bases scale, and its row."""
    config = get_small_classifier_config(
        width=0.5 * bases.beta,
        depth=0.5 * bases.alpha,
        image_size=round(48 * bases.gamma),
    )
    with tempfile.TemporaryDirectory() as workdir:
        result = train(config, pathlib.Path(workdir))
    name = "none" if bases == UNSCALED else ", ".join(f"{base:g}" for base in bases)
    return result["top1"], (
        f"| {name} | {result['params']:,} | {result['multiply_adds'] / 1e6:.1f} M "
        f"| {result['top1']:.3f} | {result['seconds']:.0f} |"
    )


def main() -> None:
    """Prints the table."""
    use_huge_pages(sys.orig_argv)
    step, tolerance = (*map(float, sys.argv[1:3]), *(0.2, 0.1)[len(sys.argv) - 1 :])
    rows = [row(bases) for bases in candidate_bases(step=step, tolerance=tolerance)]
    print("| bases | parameters | multiply-adds | top-1 | seconds |")
    print("|---|---|---|---|---|")
    print(row(UNSCALED)[1])
    print("\n".join(text for _, text in sorted(rows, reverse=True)))


if __name__ == "__main__":
    main()
