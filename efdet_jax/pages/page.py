"""A report as Markdown, and as one page that needs nothing else."""

import html
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from efdet_jax.pages import tables
from efdet_jax.pages.tables import Table


class Chapter(NamedTuple):
    """A title, what there is to say, the numbers, and pictures."""

    title: str
    sentences: tuple[str, ...]
    table: Table | None
    pictures: tuple[tuple[str, str], ...] = ()
    """For pages alone: what each shows, and its HTML element."""


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h2 { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } svg { width: 100%; height: auto; max-width: 54rem; }
.pictures { display: grid; gap: 1rem; margin-top: 1rem;
            grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.pictures figure { margin: 0; } .pictures img { width: 100%; height: auto; }
.pictures figure:has(> svg, .wide) { grid-column: 1 / -1; }
.pictures .pair { display: flex; flex-wrap: wrap; gap: .5rem; }
.pictures .pair img { flex: 1 1 19rem; min-width: 0; }
figcaption { font-size: 13px; color: #555; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px;
        font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #e4e4e4;
         vertical-align: top; white-space: pre-line; }
th { border-bottom: 2px solid #999; } .n { text-align: right; }
th, td:first-child, .n { white-space: nowrap; }
"""


def to_markdown(chapters: Sequence[Chapter]) -> str:
    """Returns the chapters as Markdown that reads well in a terminal too."""
    parts = []
    for chapter in chapters:
        table = tables.markdown(chapter.table) if chapter.table else ""
        sentences = "".join(f"- {sentence}\n" for sentence in chapter.sentences)
        parts.append(
            "\n".join(filter(None, (f"## {chapter.title}\n", sentences, table)))
        )
    return "\n".join(parts)


def to_page(title: str, chapters: Sequence[Chapter], figures: Mapping[str, str]) -> str:
    """Returns one HTML page.

    Args:
      title: of the page.
      chapters: in their order.
      figures: SVG elements by what they show.
    """
    drawn = "".join(
        f'<figure role="img" aria-label="{html.escape(name)}">{svg}</figure>\n'
        for name, svg in figures.items()
    )
    body = "".join(_section(chapter) for chapter in chapters)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n{drawn}{body}</body>\n</html>\n"
    )


def _section(chapter: Chapter) -> str:
    sentences = "".join(f"<p>{html.escape(text)}</p>\n" for text in chapter.sentences)
    table = tables.to_html(chapter.table) if chapter.table else ""
    return (
        f"<section>\n<h2>{html.escape(chapter.title)}</h2>\n{sentences}"
        f'<div class="scroll">{table}</div>\n{_pictures(chapter)}</section>\n'
    )


def _pictures(chapter: Chapter) -> str:
    if not chapter.pictures:
        return ""
    shown = "".join(
        f"<figure>{element}<figcaption>{html.escape(caption)}</figcaption></figure>\n"
        for caption, element in chapter.pictures
    )
    return f'<div class="pictures">\n{shown}</div>\n'
