"""What the parts of a D0 have in common; for tests of one part."""

import functools

from efdet_jax.models.activations import silu
from efdet_jax.models.layers import SeparableConv, Style
from efdet_jax.models.norms import BatchNorm

STYLE = Style(
    norm=functools.partial(BatchNorm, momentum=0.99, epsilon=1e-3, frozen=False),
    activation=silu,
    padding="same",
    conv=functools.partial(SeparableConv, use_bias=True),
    conv_bias=True,
    remat=False,
)
