"""Rows that a kernel waits for: plain integers, as the lowering of a network needs them."""

from __future__ import annotations


def late_rows(rows: int, height: int, kernel: int, stride: int, padding: int, held: int) -> list[bool]:
    """Whether each row of outputs must wait for its first columns when the row before it has been computed.

    A kernel that holds `held` rows takes one more behind the window as it moves along; of a further one the first
    columns come only when the row of outputs ends. Rows of padding do not count.
    """
    late = [False]
    for y in range(1, rows):
        first = (y - 1) * stride - padding  # the row before still needs it and those below
        needed = min(y * stride - padding + kernel - 1, height - 1)
        late.append(needed > max(first + held, held - 1))
    return late
