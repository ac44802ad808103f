"""Reduction: few numbers a spot that hold what many genes say, and domains found on them.

Nothing is imported until it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_smoother.models.reduction.domains import Domains, find_domains
    from napari_smoother.models.reduction.pca import SpatialPCA
    from napari_smoother.models.reduction.smoothed_embedding import smooth_embedding
    from napari_smoother.models.reduction.spatial_vae import SpatialVAE

_HOMES = {
    "Domains": "domains",
    "SpatialPCA": "pca",
    "SpatialVAE": "spatial_vae",
    "find_domains": "domains",
    "smooth_embedding": "smoothed_embedding",
}

__all__ = [
    "Domains",
    "SpatialPCA",
    "SpatialVAE",
    "find_domains",
    "smooth_embedding",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
