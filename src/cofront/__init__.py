"""cofront: networks, precisions and accelerators chosen together, with a proven bound."""

__version__ = "0.1.0"

#: Version of every JSON document that cofront writes. Raised when a key changes its meaning or goes.
SCHEMA = 1
