"""Die: what a chip that is no FPGA part offers an accelerator; each family says which resources, and how many."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

from cofront.device.base import allowed_clock
from cofront.errors import InputError, unknown_name


@dataclass(frozen=True, kw_only=True)
class Die:
    """Clocks and a name; a family adds numbers of its own: whole ones, also 0, for its `RESOURCES`, others above 0.

    `KIND` is what messages call it. InputError for what no chip can be.
    """

    RESOURCES: ClassVar[tuple[str, ...]]
    KIND: ClassVar[str]

    clock_hz: float
    max_clock_hz: float
    name: str

    def __post_init__(self) -> None:
        for key in (f.name for f in fields(self) if f.name != "name"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
                raise InputError(f"{self.KIND}: {key} must be a number from 0, got {value!r}")
            if key in self.RESOURCES:
                if not isinstance(value, int):
                    raise InputError(f"{self.KIND}: {key} must be a whole number, got {value!r}")
            elif not value:
                raise InputError(f"{self.KIND}: {key} must be above 0")

    @property
    def budget(self) -> dict[str, int]:
        return {r: getattr(self, r) for r in self.RESOURCES}

    def clock(self, clock_hz: float | None = None) -> float:
        """`clock_hz`, or the default; a UsageError when the chip cannot run at it."""
        clock = self.clock_hz if clock_hz is None else clock_hz
        return allowed_clock(f"{self.KIND} '{self.name}'", clock, self.max_clock_hz)

    def with_budget(self, **limits: int) -> Self:
        """A copy with other amounts of `RESOURCES`."""
        for key in limits:
            if key not in self.RESOURCES:
                raise unknown_name(f"resource of {self.KIND} '{self.name}'", key, self.RESOURCES)
        return replace(self, **limits)  # type: ignore[arg-type]
