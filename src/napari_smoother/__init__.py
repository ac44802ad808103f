"""Spatially coherent analysis of spatial omics: the library under the napari plugin."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_smoother.analyses.choice import choose_smoothing
    from napari_smoother.analyses.comparison import compare_regions
    from napari_smoother.analyses.components import spatial_pca
    from napari_smoother.analyses.deconvolution import deconvolve
    from napari_smoother.analyses.deviation import posterior_deviation
    from napari_smoother.analyses.domains import domains
    from napari_smoother.analyses.imputation import impute
    from napari_smoother.analyses.prediction import predict_at
    from napari_smoother.analyses.quality import spot_quality
    from napari_smoother.analyses.smooth_embedding import smooth_embedding
    from napari_smoother.analyses.spatial_neighbors import spatial_neighbors, spatial_weights
    from napari_smoother.analyses.spatially_variable_genes import spatially_variable_genes
    from napari_smoother.batch.task import run_recipe
    from napari_smoother.io.opening import read
    from napari_smoother.losses.contrastive import ContrastiveSpatialLoss
    from napari_smoother.losses.spatial import SpatialLoss
    from napari_smoother.weights.matrix import SpatialWeightMatrix

__version__ = "0.1.0"

__all__ = [
    "ContrastiveSpatialLoss",
    "SpatialLoss",
    "SpatialWeightMatrix",
    "__version__",
    "choose_smoothing",
    "compare_regions",
    "deconvolve",
    "domains",
    "impute",
    "posterior_deviation",
    "predict_at",
    "read",
    "run_recipe",
    "smooth_embedding",
    "spatial_neighbors",
    "spatial_pca",
    "spatial_weights",
    "spatially_variable_genes",
    "spot_quality",
]

# Loaded when first asked for: they need torch or compiled loops, which take seconds to import.
_HOMES = {
    "ContrastiveSpatialLoss": "napari_smoother.losses.contrastive",
    "SpatialLoss": "napari_smoother.losses.spatial",
    "SpatialWeightMatrix": "napari_smoother.weights.matrix",
    "choose_smoothing": "napari_smoother.analyses.choice",
    "compare_regions": "napari_smoother.analyses.comparison",
    "deconvolve": "napari_smoother.analyses.deconvolution",
    "domains": "napari_smoother.analyses.domains",
    "impute": "napari_smoother.analyses.imputation",
    "predict_at": "napari_smoother.analyses.prediction",
    "posterior_deviation": "napari_smoother.analyses.deviation",
    "read": "napari_smoother.io.opening",
    "run_recipe": "napari_smoother.batch.task",
    "smooth_embedding": "napari_smoother.analyses.smooth_embedding",
    "spatial_neighbors": "napari_smoother.analyses.spatial_neighbors",
    "spatial_pca": "napari_smoother.analyses.components",
    "spatial_weights": "napari_smoother.analyses.spatial_neighbors",
    "spatially_variable_genes": "napari_smoother.analyses.spatially_variable_genes",
    "spot_quality": "napari_smoother.analyses.quality",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
