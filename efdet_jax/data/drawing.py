"""Painting figures onto an image: outlines, textures, noise."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from efdet_jax.data.figures import Figure, rotation, world_contours

_TEXTURE_PERIOD = 0.5
"""In units of a shape's radius: four stripes across a disc."""
_SUPERSAMPLING = 4
"""Sub-pixels per pixel and axis. cv2's own LINE_AA widens a shape by 0.7 pixels."""


def raster(
    contours: tuple[np.ndarray, ...],
    *,
    scale: float,
    offset: np.ndarray,
    shape: tuple[int, int],
) -> UInt8[np.ndarray, "h w"]:
    """Fills outlines (even-odd) on a grid whose cell (r, c) covers [r, r+1] x [c, c+1].

    Contours are moved by `-offset`, then multiplied by `scale`.
    """
    mask = np.zeros(shape, np.uint8)
    fraction_bits = 4
    points = [
        np.round(((c - offset) * scale - 0.5)[:, ::-1] * 2**fraction_bits)
        for c in contours
    ]
    cv2.fillPoly(mask, [p.astype(np.int32) for p in points], 255, shift=fraction_bits)
    return mask


def paint(canvas: UInt8[np.ndarray, "h w 3"], figure: Figure, *, scale: float) -> None:
    """Draws a figure onto the canvas, in place, touching its surroundings only."""
    contours = [c * scale for c in world_contours(figure)]
    limit = canvas.shape[:2]
    low = np.clip(np.floor(contours[0].min(axis=0)).astype(int) - 1, 0, limit)
    high = np.clip(np.ceil(contours[0].max(axis=0)).astype(int) + 1, 0, limit)
    height, width = (int(side) for side in high - low)
    if height <= 0 or width <= 0:
        return
    mask = raster(
        tuple(contours),
        scale=_SUPERSAMPLING,
        offset=low,
        shape=(height * _SUPERSAMPLING, width * _SUPERSAMPLING),
    )
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    alpha = mask[:, :, None] * np.float32(1 / 255)
    colours = figure.colours.astype(np.float32)
    fill = colours[0]
    if figure.texture != "solid":
        share = _texture_share(figure, low=low, height=height, width=width, scale=scale)
        fill = fill + share[:, :, None] * (colours[1] - colours[0])
    window = canvas[low[0] : high[0], low[1] : high[1]]
    window[:] = window + alpha * (fill - window) + np.float32(0.5)


def _texture_share(
    figure: Figure,
    *,
    low: np.ndarray,
    height: int,
    width: int,
    scale: float,
) -> Float[np.ndarray, "h w"]:
    """Returns how much of each pixel the second colour has; soft at pattern edges."""
    turn = (rotation(figure.angle) / (figure.radius * scale)).astype(np.float32)
    start = (low + 0.5 - figure.centre * scale).astype(np.float32)
    y = start[0] + np.arange(height, dtype=np.float32)[:, None]
    x = start[1] + np.arange(width, dtype=np.float32)[None, :]
    phase_y, phase_x = (
        (y * turn[0, axis] + x * turn[1, axis]) / np.float32(_TEXTURE_PERIOD)
        for axis in (0, 1)
    )
    period = np.float32(_TEXTURE_PERIOD * figure.radius * scale)
    if figure.texture == "dotted":
        off_y, off_x = phase_y % 1 - 0.5, phase_x % 1 - 0.5
        distance = (0.33 - np.sqrt(off_y * off_y + off_x * off_x)) * period
        return np.clip(0.5 + distance, 0, 1)
    wave_y = np.clip((np.abs(phase_y % 1 - 0.5) - 0.25) * (2 * period), -1, 1)
    if figure.texture == "striped":
        return 0.5 + 0.5 * wave_y
    wave_x = np.clip((np.abs(phase_x % 1 - 0.5) - 0.25) * (2 * period), -1, 1)
    return 0.5 + 0.5 * wave_y * wave_x


def add_noise(
    canvas: UInt8[np.ndarray, "h w 3"], *, rng: np.random.Generator, amplitude: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Adds uniform noise of +-amplitude: raw bytes cost a tenth of normals."""
    grain = np.frombuffer(rng.bytes(canvas.size), np.int8).reshape(canvas.shape)
    return (
        cv2.scaleAdd(
            grain.astype(np.float32), amplitude / 128, canvas.astype(np.float32)
        )
        .clip(0, 255)
        .astype(np.uint8)
    )
