"""A data set in the classes of a network."""

import numpy as np
from jaxtyping import Int, UInt8

from efdet_jax.data.labels import LabelMap, correspondence
from efdet_jax.data.source import Source
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


def relabelled(source: Source, network: LabelMap) -> Source:
    """Returns the data set with its classes told as those of the network.

    Raises:
      UsageError: The network has not a class that the data set lists, or has several
        of its name.
    """
    if source.labels == network:
        return source
    classes = correspondence(source.labels, network)
    for id_, name, class_ in zip(*source.labels, classes, strict=True):
        if class_ is None:
            raise UsageError(
                f"class {name!r} (id {id_}) of the data is none of the network's"
                f" {network.num_classes}; give it the name that it has there, or set"
                " config.model.num_classes=0 for a head of the training data's classes"
            )
    return _Relabelled(source, network, np.array(classes, np.int32))


class _Relabelled:
    """The same images and boxes with other numbers for the classes; a `Source`."""

    def __init__(
        self, source: Source, labels: LabelMap, classes: Int[np.ndarray, " k"]
    ) -> None:
        self.labels = labels
        self.flaws = source.flaws
        self._source = source
        self._classes = classes

    def __len__(self) -> int:
        return len(self._source)

    def title(self, i: int) -> str:
        """Names image `i`."""
        return self._source.title(i)

    def encoded(self, i: int) -> bytes:
        """Reads what image `i` is decoded from."""
        return self._source.encoded(i)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return self._source.image(i)

    def annotations(self, i: int) -> Annotations:
        """Gives what the data set says of image `i`, in classes of the network."""
        found = self._source.annotations(i)
        return found._replace(classes=self._classes[found.classes])
