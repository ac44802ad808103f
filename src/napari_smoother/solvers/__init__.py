"""Exact solvers on plain arrays; nothing is imported until it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "DataTerm": "quadratic_terms",
    "PriorTerm": "quadratic_terms",
    "Solution": "bounded_quadratic",
    "solve_bounded_quadratic": "bounded_quadratic",
}

__all__ = ["DataTerm", "PriorTerm", "Solution", "solve_bounded_quadratic"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
