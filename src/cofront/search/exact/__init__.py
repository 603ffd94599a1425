"""Exact searches: `fit` for one network, `joint` for all networks and accelerators together."""
