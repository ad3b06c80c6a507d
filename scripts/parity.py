"""Prints how far our numbers are from those of the published implementations.

Usage: python scripts/parity.py [--reference=FOLDER] [--data=FOLDER] [NAME …], with the
recordings and the real images; NAMEs are of rows in tests/measures/table.py, which
measures. Exit code 1 if a difference is larger than it may be.
"""

import argparse
import pathlib
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

# pyrefly: ignore[missing-import]
from measures.table import MEASURES  # noqa: E402

COLUMNS = "| {:60} | {:32} | {:>10} | {:>9} | {:>9} | {:4} |"
NUMBERS = "difference", "of", "allowed"


def lines(name: str, folder: pathlib.Path) -> Iterator[tuple[str, bool]]:
    """Yields the lines of a measure, and whether each is as it should be."""
    try:
        for row in MEASURES[name].rows(folder):
            what = f"{row.what} ({row.where})" if row.where else row.what
            numbers = (f"{row.difference:.1e}", f"{row.unit:.3g}", f"{row.tolerance:g}")
            verdict = "yes" if row.is_near else "NO"
            yield COLUMNS.format(what, row.against, *numbers, verdict), row.is_near
    except FileNotFoundError as absence:
        yield COLUMNS.format(name, f"not measured: {absence}", "", "", "", ""), True


def main() -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", default=str(ROOT / "../shared/reference"))
    parser.add_argument("--data", default=str(ROOT / "../shared/data"))
    parser.add_argument("names", nargs="*", default=list(MEASURES))
    arguments = parser.parse_args()
    titles = (
        "what (where it is worst)",
        "against",
        "difference",
        "of",
        "allowed",
        "ok",
    )
    print(COLUMNS.format(*titles))
    print(COLUMNS.format("---", "---", "---:", "---:", "---:", "---"))
    all_ok = True
    for name in arguments.names:
        folder = pathlib.Path(getattr(arguments, MEASURES[name].folder))
        for line, is_ok in lines(name, folder):
            print(line, flush=True)
            all_ok &= is_ok
    return 0 if all_ok else 1


if __name__ == "__main__":
    sys.exit(main())
