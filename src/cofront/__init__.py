"""cofront: networks, precisions and accelerators chosen together, with a proven bound."""

__version__ = "0.1.0"
