"""Config: one accelerator of the subgraph family, to and from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cofront.errors import InputError
from cofront.hardware.flat import check_clock
from cofront.hardware.subgraph.calls import KERNELS
from cofront.hardware.subgraph.engines import ENGINES


@dataclass(frozen=True)
class KernelConfig:
    """One kernel. A kernel with `po` = 0 is absent.

    `pi` input channels x `po` output channels x `taps` window positions are multiplied at once (depthwise: `po`
    channels, `pi` = 1). `dsp`: multipliers on DSPs (1) or LUTs (0). `weight_depth`: words of the weight memory, both
    halves of the double buffer together. `rows`: rows of the line buffer, `line_elements`: elements (width x
    channels) of one row. `in_elements`, `out_elements`: most input and output channels its buffers serve.
    """

    pi: int
    po: int
    taps: int
    dsp: int
    weight_depth: int
    rows: int
    line_elements: int
    in_elements: int
    out_elements: int


PARAMS: tuple[str, ...] = tuple(f.name for f in fields(KernelConfig))
ABSENT = KernelConfig(0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Config:
    """An accelerator: engine kind, the three kernels, and its clock."""

    engine: str
    conv: KernelConfig
    dw: KernelConfig
    pw: KernelConfig
    clock_hz: float

    def __post_init__(self) -> None:
        if not isinstance(self.engine, str) or self.engine not in ENGINES:
            raise InputError(f"accelerator: engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        check_clock(self.clock_hz)
        for name in KERNELS:
            _check(name, self.kernel(name))

    def kernel(self, name: str) -> KernelConfig:
        return {"conv": self.conv, "dw": self.dw, "pw": self.pw}[name]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, data: Any, clock_hz: float | None = None) -> Config:
        """The accelerator described by `to_dict`; an InputError that names what is wrong.

        `clock_hz` is taken where `data` has none, as in the configurations of a search.
        """
        if not isinstance(data, Mapping):
            raise InputError(f"accelerator: expected an object with {', '.join(_TOP)}, got {type(data).__name__}")
        if clock_hz is not None and "clock_hz" not in data:
            data = {**data, "clock_hz": clock_hz}
        _keys("accelerator", data, _TOP)
        kernels = {}
        for name in KERNELS:
            part = data[name]
            if not isinstance(part, Mapping):
                raise InputError(f"accelerator: kernel '{name}' must be an object, got {type(part).__name__}")
            _keys(f"kernel '{name}'", part, PARAMS)
            kernels[name] = KernelConfig(**{key: part[key] for key in PARAMS})
        return cls(data["engine"], kernels["conv"], kernels["dw"], kernels["pw"], data["clock_hz"])

    @classmethod
    def from_json(cls, text: str) -> Config:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"accelerator: not valid JSON: {error}") from None
        return cls.from_dict(data)

    def __str__(self) -> str:
        def one(k: KernelConfig) -> str:
            place = "DSP" if k.dsp else "LUT"
            return f"{k.pi}x{k.po}x{k.taps} on {place}" if k.po else "none"

        parts = ", ".join(f"{n} {one(self.kernel(n))}" for n in KERNELS)
        return f"{self.engine} at {self.clock_hz / 1e6:g} MHz: {parts}"


_TOP = ("engine", "conv", "dw", "pw", "clock_hz")

#: No field of a kernel is larger; keeps every product inside 64 bits.
_LIMIT = 1 << 24


def _keys(where: str, data: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if missing := [k for k in known if k not in data]:
        raise InputError(f"{where}: {', '.join(missing)} missing")
    if extra := [str(k) for k in data if k not in known]:
        raise InputError(f"{where}: unknown {', '.join(extra)}; known: {', '.join(known)}")


def _check(name: str, k: KernelConfig) -> None:
    for key in PARAMS:
        value = getattr(k, key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LIMIT:
            raise InputError(f"kernel '{name}': {key} must be a whole number of 0 to {_LIMIT}, got {value!r}")
    if k.po == 0:
        if k != ABSENT:
            raise InputError(f"kernel '{name}': po = 0 means absent; then every other field is 0 too")
        return
    for key in ("pi", "taps", "out_elements", "rows"):
        if getattr(k, key) < 1:
            raise InputError(f"kernel '{name}': {key} must be at least 1")
    if k.pi * k.po * k.taps > _LIMIT:
        raise InputError(f"kernel '{name}': {k.pi} x {k.po} x {k.taps} multipliers is beyond any device")
    if k.dsp > 1:
        raise InputError(f"kernel '{name}': dsp is 1 (multipliers on DSPs) or 0 (on LUTs), got {k.dsp}")
    if k.weight_depth < 2:
        raise InputError(f"kernel '{name}': weight_depth must be at least 2 words, got {k.weight_depth}")
    if name == "dw" and k.pi != 1:
        raise InputError(f"kernel 'dw': pi must be 1 (its channels are po), got {k.pi}")
    if name == "pw" and (k.taps != 1 or k.rows != 1):
        raise InputError("kernel 'pw': taps and rows must be 1")
