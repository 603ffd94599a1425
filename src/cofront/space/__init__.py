"""What may be chosen: named choices, the Network of each point, and the space as a trellis for exact search."""

from cofront import registry
from cofront.space.base import PRECISIONS, Choice, Layered, Points, Precisions, Space

__all__ = ["PRECISIONS", "Choice", "Layered", "Points", "Precisions", "Space", "load", "names"]


def names() -> tuple[str, ...]:
    """Names of the registered spaces."""
    return registry.names("space")


def load(name: str) -> Space:
    """The registered space of that name, "name@options" for a variant of it (`Space.variant`).

    Raises a UsageError with the nearest names when there is none.
    """
    base, at, options = name.partition("@")
    kind: type[Space] = registry.load("space", base)
    return kind.variant(options) if at else kind()
