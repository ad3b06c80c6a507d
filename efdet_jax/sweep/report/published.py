"""The published EfficientDets as a curve to lay ours over."""

import math

from efdet_jax.sweep.report.curves import Curve, Point

_ROWS = (
    ("D0", 0.343, 2.492e9, 3_880_067),
    ("D1", 0.402, 6.003e9, 6_625_898),
    ("D2", 0.435, 10.83e9, 8_097_039),
    ("D3", 0.468, 24.57e9, 12_032_296),
    ("D4", 0.493, 54.58e9, 20_723_675),
    ("D5", 0.513, 134.1e9, 33_653_315),
    ("D6", 0.522, 224.1e9, 51_871_782),
    ("D7", 0.534, 322.7e9, 51_871_782),
    ("D7x", 0.544, 407.6e9, 77_147_166),
)

PUBLISHED = Curve(
    name="published D0-D7x, COCO",
    sweep="published",
    family="published D0-D7x, COCO",
    points=tuple(
        Point(name, 1, ap, math.nan, multiply_adds, params, math.nan)
        for name, ap, multiply_adds, params in _ROWS
    ),
)
"""AP on COCO val2017 with soft suppression.

Source: EfficientDet (arXiv 1911.09070, last version), Table 2, val AP.
Differs: parameters and multiply-adds are counted as those of our trials are, so that
they lie on one axis; the paper's profiler says 0.8 to 2.4% more. Its latencies, of
another device, are left out.
"""
