"""Models: deconvolution, reduction and imputation under a spatial prior.

Nothing is imported until it is asked for. Functions on AnnData stand in
`napari_smoother` itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_smoother.models.deconv.nnls import NNLS
    from napari_smoother.models.impute.model import ImputeModel
    from napari_smoother.models.reduction.domains import find_domains
    from napari_smoother.models.reduction.pca import SpatialPCA
    from napari_smoother.models.reduction.smoothed_embedding import smooth_embedding
    from napari_smoother.models.reduction.spatial_vae import SpatialVAE

_HOMES = {
    "ImputeModel": "impute",
    "NNLS": "deconv",
    "SpatialPCA": "reduction",
    "SpatialVAE": "reduction",
    "find_domains": "reduction",
    "smooth_embedding": "reduction",
}

__all__ = [
    "NNLS",
    "ImputeModel",
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
