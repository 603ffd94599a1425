"""Column files, for readers of measured accuracies."""

from cofront.space.columnfile import MAX_ROWS, Columns, in_file, read_columns

__all__ = ["MAX_ROWS", "Columns", "in_file", "read_columns"]
