"""Rows of text for people, on a page and in a terminal."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """Cells for people, rounded."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int
    """How many columns, from the left, are words; the others are numbers."""


def three_decimals(value: float | None) -> str:
    """Returns a number for a cell; a dash where there is none, or NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def markdown(table: Table) -> str:
    """Returns the table as GitHub's Markdown, aligned for a terminal."""
    lines = [tuple(cell.replace("|", "\\|") for cell in row) for row in table.rows]
    columns = zip(table.header, *lines, strict=True)
    widths = [max(3, *map(len, column)) for column in columns]
    rules = [
        "-" * width if i < table.texts else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    return "".join(
        "| " + " | ".join(_fill(row, widths, table.texts)) + " |\n"
        for row in (table.header, rules, *lines)
    )


def to_html(table: Table) -> str:
    """Returns the table as HTML."""

    def row(tag: str, cells: Sequence[str]) -> str:
        kinds = ["" if i < table.texts else ' class="n"' for i in range(len(cells))]
        inner = "".join(
            f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
            for kind, cell in zip(kinds, cells, strict=True)
        )
        return f"<tr>{inner}</tr>\n"

    body = "".join(row("td", cells) for cells in table.rows)
    head = row("th", table.header)
    return f"<table>\n<thead>{head}</thead>\n<tbody>{body}</tbody>\n</table>\n"


def _fill(row: Sequence[str], widths: Sequence[int], texts: int) -> list[str]:
    return [
        cell.ljust(width) if i < texts else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
