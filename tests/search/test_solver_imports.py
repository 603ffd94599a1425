"""Solvers are imported behind the facade only."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import cofront

SOURCE = Path(cofront.__file__).parent
FACADE = {"search/exact/cpsat.py", "search/exact/milp.py"}


@cache
def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return names


def _leaks(forbidden: tuple[str, ...]) -> list[str]:
    return [
        str(p.relative_to(SOURCE))
        for p in sorted(SOURCE.rglob("*.py"))
        if any(n == f or n.startswith(f"{f}.") for n in _imports(p) for f in forbidden)
    ]


def test_solvers_stay_behind_the_facade() -> None:
    """Fitting a curve with scipy.optimize is anybody's business; solving programs is the facade's."""
    programs = ("ortools", "highspy", "scipy.optimize.milp", "scipy.optimize.linprog")
    assert set(_leaks(programs)) == FACADE
    assert {p for p in _leaks(("scipy.optimize",)) if p.startswith("search/")} == {"search/exact/milp.py"}
