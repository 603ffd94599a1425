"""Configurations that are some whole numbers and a clock: checked when made, to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from cofront.errors import InputError


def check_clock(clock_hz: Any) -> None:
    """An InputError unless a configuration's clock is a positive number of at most 1e12."""
    number = isinstance(clock_hz, int | float) and not isinstance(clock_hz, bool)
    if not number or not 0 < clock_hz <= 1e12:
        raise InputError(f"accelerator: clock_hz must be a positive number of at most 1e12, got {clock_hz!r}")


class FlatConfig:
    """What a frozen dataclass with `FIELDS` and, behind them, `clock_hz` inherits.

    `FIELDS` are from `LEAST` to `MOST`; an InputError says which is not.
    """

    FIELDS: ClassVar[tuple[str, ...]]
    MOST: ClassVar[int]
    LEAST: ClassVar[int] = 1

    def __post_init__(self) -> None:
        values = self.to_dict()
        for key in self.FIELDS:
            value = values[key]
            if isinstance(value, bool) or not isinstance(value, int) or not self.LEAST <= value <= self.MOST:
                expected = f"a whole number of {self.LEAST} to {self.MOST}"
                raise InputError(f"accelerator: {key} must be {expected}, got {value!r}")
        check_clock(values["clock_hz"])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {key: getattr(self, key) for key in (*self.FIELDS, "clock_hz")}

    @classmethod
    def from_dict(cls, data: Any, clock_hz: float | None = None) -> Self:
        """What `to_dict` gave; `clock_hz` where it has none. An InputError otherwise."""
        if isinstance(data, Mapping) and clock_hz is not None and "clock_hz" not in data:
            data = {**data, "clock_hz": clock_hz}
        known = (*cls.FIELDS, "clock_hz")
        if not isinstance(data, Mapping) or set(data) != set(known):
            raise InputError(f"accelerator: expected an object with {', '.join(known)}, got {data!r:.80}")
        return cls(**data)
