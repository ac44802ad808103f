"""Spatially coherent analysis of spatial omics: the library under the napari plugin."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_smoother.losses.contrastive import ContrastiveSpatialLoss
    from napari_smoother.losses.spatial import SpatialLoss
    from napari_smoother.weights.matrix import SpatialWeightMatrix

__version__ = "0.1.0"

__all__ = ["ContrastiveSpatialLoss", "SpatialLoss", "SpatialWeightMatrix", "__version__"]

# Loaded when first asked for: they need torch, which takes seconds to import.
_HOMES = {
    "ContrastiveSpatialLoss": "napari_smoother.losses.contrastive",
    "SpatialLoss": "napari_smoother.losses.spatial",
    "SpatialWeightMatrix": "napari_smoother.weights.matrix",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
