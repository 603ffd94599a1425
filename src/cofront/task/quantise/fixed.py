"""A layer's gains and biases as the integers hold them: what both the integer network and its simulation compute with.

acc = sum codes * (q - zero) + bias; out = (acc * multiplier + residual ...) >> shift, in units of the output's scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.task.gains import MAX_SHIFT, MULTIPLIER_BITS, fixed_gains
from cofront.task.kernels import Grid
from cofront.task.quantise.setting import LayerSetting

#: More bits of the logits than their accumulators have, so that their common scale costs nothing.
LOGIT_BITS = 6
_BIAS = 2.0**30

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class FixedLayer:
    """Codes (cout, ...), biases (cout,), multipliers (cout,) and shift; `unit` is the real size of an output step.

    `residual` is the multiplier of what is added, None where nothing is.
    """

    codes: Ints
    bias: Ints
    multiplier: Ints
    shift: int
    unit: float
    residual: int | None


def fixed_layer(name: str, layer: LayerSetting, read: Grid, unit: float | None, residual: Grid | None) -> FixedLayer:
    """The integers of layer `name` that multiplies a tensor on `read`; `unit` None means logits, which choose it.

    InputError where an offset or a gain is beyond the reach of the integers.
    """
    codes = layer.codes.double().numpy().copy()
    factor, bias = layer.scale.double().numpy() * read.scale, layer.bias.double().numpy()
    # A channel whose gain is nothing beside the others', or beside its bias, computes a constant: as such it is exact.
    dead = (factor * 2**MULTIPLIER_BITS < factor.max()) | (np.abs(bias) >= factor * _BIAS)
    codes[dead], factor[dead] = 0, factor.max()
    step = float(factor.max()) / 2**LOGIT_BITS if unit is None else unit
    # The residual's multiplier shares the shift and has 31 bits: beside a great one the layer's have fewer bits.
    most = MAX_SHIFT if residual is None else math.floor(math.log2(2.0**30 * step / residual.scale))
    m, shift = _gains(factor / step, most, name)
    ints = np.rint(bias / (m * 2.0**-shift * step))
    if np.abs(ints).max(initial=0) >= _BIAS:
        raise InputError(f"'{name}': an offset of {np.abs(ints).max():.3g} accumulator steps leaves 32 bits")
    add = None if residual is None else math.floor(residual.scale / step * 2.0**shift + 0.5)
    return FixedLayer(codes, ints, m, shift, step, add)


def _gains(gain: npt.NDArray[np.float64], most: int, where: str) -> tuple[npt.NDArray[np.int32], int]:
    """Multipliers, none of them 0, and a shift of at most `most`."""
    m, shift = fixed_gains(gain, f"'{where}': ")
    if shift > most:
        if most < 1:
            raise InputError(f"'{where}': it adds a tensor whose scale is beyond the reach of 31 bits")
        m, shift = np.floor(gain * 2.0**most + 0.5).astype(np.int32), most
    return np.maximum(m, 1).astype(np.int32), shift
