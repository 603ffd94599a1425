"""Column files, for readers of measured accuracies."""

from cofront.space.columnfile import MAX_ROWS, Columns, read_columns

__all__ = ["MAX_ROWS", "Columns", "read_columns"]
