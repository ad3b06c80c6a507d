"""A config's `model` section as the arguments of a network."""

from typing import Any, Protocol


class Section(Protocol):
    """A part of a config, as `ml_collections.ConfigDict` is one."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the values by key, sections as dicts."""
        ...


def network_arguments(section: Section) -> dict[str, Any]:
    """Returns the values of a `model` section that says how many classes there are.

    Raises:
      ValueError: its `num_classes` is 0, which leaves the number to the data.
    """
    arguments = section.to_dict()
    if not arguments["num_classes"]:
        raise ValueError(
            "config.model.num_classes=0 leaves the number to the data: set it"
        )
    return arguments
