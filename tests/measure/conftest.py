"""Fixtures of `measuring_helpers`."""

from measuring_helpers import board, few, python_without, temporary

__all__ = ["board", "few", "python_without", "temporary"]
