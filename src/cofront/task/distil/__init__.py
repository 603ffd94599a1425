"""Cheaper operators learn from a trained network: layer by layer, then the whole."""
