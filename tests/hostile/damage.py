"""Damage to files, in ways that parsers have stumbled over; the same for one seed."""

import struct

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """Returns a file with one to three kinds of damage; most of it near the beginning,
    where headers are."""
    content = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        if content:
            DAMAGES[rng.integers(len(DAMAGES))](content, rng)
    return bytes(content)


def _place(content, rng):
    is_early = rng.random() < 0.7
    return int(rng.integers(min(len(content), 200) if is_early else len(content)))


def _span(content, rng):
    start = _place(content, rng)
    return slice(start, start + int(rng.integers(1, 65)))


def _flip(content, rng):
    for _ in range(rng.integers(1, 9)):
        content[_place(content, rng)] ^= 1 << rng.integers(8)


def _set_number(content, rng):
    number, order = EXTREMES[rng.integers(len(EXTREMES))], "<>"[rng.integers(2)]
    kind = "BHI"[rng.integers(3)]
    encoded = struct.pack(f"{order}{kind}", number % 256 ** struct.calcsize(kind))
    at = _place(content, rng)
    content[at : at + len(encoded)] = encoded


def _cut_end(content, rng):
    del content[_place(content, rng) :]


def _cut_out(content, rng):
    del content[_span(content, rng)]


def _insert(content, rng):
    at = _place(content, rng)
    content[at:at] = rng.bytes(int(rng.integers(1, 33)))


def _repeat(content, rng):
    span = _span(content, rng)
    content[span] = content[span] * int(rng.integers(2, 20))


def _blank(content, rng):
    span = _span(content, rng)
    content[span] = bytes([[0, 0xFF][rng.integers(2)]]) * len(content[span])


def _swap(content, rng):
    a, b = _span(content, rng), _span(content, rng)
    content[a], content[b] = content[b], content[a]


DAMAGES = (_flip, _set_number, _cut_end, _cut_out, _insert, _repeat, _blank, _swap)
