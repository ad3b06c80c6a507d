"""Figures as files and as elements of a page."""

import base64
import html
import io
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Images(NamedTuple):
    """One figure in two formats."""

    png: bytes
    svg: str
    """The element alone, without the XML prolog."""


def encode(figure: Figure, canvas: FigureCanvasAgg) -> Images:
    """Returns a figure as PNG and SVG."""
    png, svg = io.BytesIO(), io.StringIO()
    canvas.print_png(png)
    # Without a date, two reports of the same trials are the same bytes.
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(svg, format="svg", metadata=metadata)
    text = svg.getvalue()
    return Images(png.getvalue(), text[text.index("<svg") :])


def picture_element(picture: UInt8[np.ndarray, "h w 3"], alt: str) -> str:
    """Returns an RGB picture as an HTML element that needs no file.

    Args:
      picture: RGB.
      alt: what it shows.
    """
    jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    data = base64.b64encode(jpeg.tobytes()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{data}">'
