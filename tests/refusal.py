"""How a file of weights is refused."""

import pytest

from efdet_jax.errors import UsageError
from efdet_jax.weights.files import reading


def refused(path):
    """Returns the one line that names the file and says what is wrong with it."""
    with pytest.raises(UsageError) as caught:
        reading.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message
