"""Devices known by measurements: tables of whole networks, and additive tables of operators."""

from cofront.hardware.tables.measured import MeasuredTable, read_measured
from cofront.hardware.tables.operators import AdditiveDevice, operator_key, read_additive
from cofront.hardware.tables.units import Quantity, parse_column, plain

__all__ = [
    "AdditiveDevice",
    "MeasuredTable",
    "Quantity",
    "operator_key",
    "parse_column",
    "plain",
    "read_additive",
    "read_measured",
]
