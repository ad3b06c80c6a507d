"""Figures as files and as elements of a page."""

import base64
import html
import io
from collections.abc import Callable
from typing import NamedTuple

import cv2
import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Source: Okabe and Ito, Color Universal Design, 2008, without its yellow, which is
not seen on white."""

_PANEL = (3.9, 2.8)
"""Inches. Read well at the width of a phone."""
_FONT = {"font.size": 9, "svg.hashsalt": "efdet_jax"}


class Images(NamedTuple):
    """One figure in two formats."""

    png: bytes
    svg: str
    """The element alone, without the XML prolog."""


def encode(figure: Figure, canvas: FigureCanvasAgg) -> Images:
    """Returns a figure as PNG and SVG."""
    png = io.BytesIO()
    canvas.print_png(png)
    return Images(png.getvalue(), _svg(figure))


def panel(draw: Callable[[Axes], object], size: tuple[float, float] = _PANEL) -> str:
    """Returns one pair of axes as an HTML element, several of which share a row.

    Args:
      draw: what is to be seen on the axes.
      size: width and height, inches.
    """
    with mpl.rc_context(_FONT):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        return f'<div class="panel">{_svg(figure)}</div>'


def _svg(figure: Figure) -> str:
    svg = io.StringIO()
    # Without a date, two reports of the same trials are the same bytes.
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(svg, format="svg", metadata=metadata)
    text = svg.getvalue()
    return text[text.index("<svg") :]


def picture_element(picture: UInt8[np.ndarray, "h w 3"], alt: str) -> str:
    """Returns an RGB picture as an HTML element that needs no file.

    Args:
      picture: RGB.
      alt: what it shows.
    """
    jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    data = base64.b64encode(jpeg.tobytes()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{data}">'


def wide(element: str) -> str:
    """Returns an HTML element that has a row of a page for itself."""
    return f'<div class="wide">{element}</div>'


def pair(left: str, right: str) -> str:
    """Returns two elements beside each other, or where it is narrow, one above other.

    Args:
      left: an HTML element.
      right: likewise.
    """
    return f'<div class="pair wide">{left}{right}</div>'
