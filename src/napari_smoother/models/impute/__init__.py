"""Imputation: values where nothing was measured, from the spots around.

Nothing is imported until it is asked for. ``ImputeTorch`` and ``ImputeConvex`` are
`ImputeModel` under the names that scripts for ``smoother-omics`` import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_smoother.models.impute.missing import impute_missing
    from napari_smoother.models.impute.model import ImputeModel
    from napari_smoother.models.impute.model import ImputeModel as ImputeConvex
    from napari_smoother.models.impute.model import ImputeModel as ImputeTorch
    from napari_smoother.models.impute.positions import denser_positions
    from napari_smoother.models.impute.report import Imputation

_HOMES = {
    "Imputation": ("report", "Imputation"),
    "ImputeConvex": ("model", "ImputeModel"),
    "ImputeModel": ("model", "ImputeModel"),
    "ImputeTorch": ("model", "ImputeModel"),
    "denser_positions": ("positions", "denser_positions"),
    "impute_missing": ("missing", "impute_missing"),
}

__all__ = [
    "Imputation",
    "ImputeConvex",
    "ImputeModel",
    "ImputeTorch",
    "denser_positions",
    "impute_missing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, true_name = _HOMES[name]
    return getattr(import_module(f"{__name__}.{home}"), true_name)


def __dir__() -> list[str]:
    return sorted(__all__)
