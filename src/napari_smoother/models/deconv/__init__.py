"""Deconvolution: how much of every cell type each spot holds.

Nothing is imported until it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_smoother.models.deconv.composition import dominant_type, proportions
    from napari_smoother.models.deconv.dwls import DWLS
    from napari_smoother.models.deconv.fit import FitReport, fit_abundance
    from napari_smoother.models.deconv.genes import GeneMatch, match_genes
    from napari_smoother.models.deconv.linear_regression import LinearRegression
    from napari_smoother.models.deconv.log_normal import LogNormReg
    from napari_smoother.models.deconv.nnls import NNLS
    from napari_smoother.models.deconv.nusvr import NuSVR
    from napari_smoother.models.deconv.poisson import PoissonRegression
    from napari_smoother.models.deconv.preparation import (
        PreparedDeconvolution,
        lambda_to_weight,
        prepare_deconvolution,
    )
    from napari_smoother.models.deconv.reference import Reference

_HOMES = {
    "DWLS": "dwls",
    "LogNormReg": "log_normal",
    "NuSVR": "nusvr",
    "PoissonRegression": "poisson",
    "NNLS": "nnls",
    "LinearRegression": "linear_regression",
    "FitReport": "fit",
    "GeneMatch": "genes",
    "PreparedDeconvolution": "preparation",
    "Reference": "reference",
    "dominant_type": "composition",
    "fit_abundance": "fit",
    "lambda_to_weight": "preparation",
    "match_genes": "genes",
    "prepare_deconvolution": "preparation",
    "proportions": "composition",
}

__all__ = [
    "DWLS",
    "NNLS",
    "FitReport",
    "GeneMatch",
    "LinearRegression",
    "LogNormReg",
    "NuSVR",
    "PoissonRegression",
    "PreparedDeconvolution",
    "Reference",
    "dominant_type",
    "fit_abundance",
    "lambda_to_weight",
    "match_genes",
    "prepare_deconvolution",
    "proportions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
