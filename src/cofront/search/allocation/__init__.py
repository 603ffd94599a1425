"""Exact allocation: which option (bits, operator) each unit of a network takes, under any mix of additive budgets.

`allocate` proves its answer, `front` and `sweep` have the answers for all or some budgets, `diverse` other good ones;
`greedy`, `evolutionary` and `random_search` are what one would do otherwise.
"""

from cofront.search.allocation.allocate import allocate, diverse
from cofront.search.allocation.baselines import evolutionary, greedy, random_search
from cofront.search.allocation.front import AllocationFront, front, sweep
from cofront.search.allocation.problem import Cut, Problem
from cofront.search.allocation.result import Allocation

__all__ = [
    "Allocation",
    "AllocationFront",
    "Cut",
    "Problem",
    "allocate",
    "diverse",
    "evolutionary",
    "front",
    "greedy",
    "random_search",
    "sweep",
]
