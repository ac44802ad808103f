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
    from napari_smoother.analyses.prior_reach import prior_reach
    from napari_smoother.analyses.quality import spot_quality
    from napari_smoother.analyses.ranked_genes import rank_genes
    from napari_smoother.analyses.smooth_embedding import smooth_embedding
    from napari_smoother.analyses.spatial_neighbors import spatial_neighbors, spatial_weights
    from napari_smoother.analyses.spatially_variable_genes import spatially_variable_genes
    from napari_smoother.analyses.umap_layout import umap
    from napari_smoother.batch.figure_again import figure_from_file
    from napari_smoother.batch.task import run_recipe
    from napari_smoother.figures.embedded import recipe_of_figure
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
    "figure_from_file",
    "impute",
    "posterior_deviation",
    "predict_at",
    "prior_reach",
    "rank_genes",
    "read",
    "recipe_of_figure",
    "run_recipe",
    "smooth_embedding",
    "spatial_neighbors",
    "spatial_pca",
    "spatial_weights",
    "spatially_variable_genes",
    "spot_quality",
    "umap",
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
    "figure_from_file": "napari_smoother.batch.figure_again",
    "impute": "napari_smoother.analyses.imputation",
    "predict_at": "napari_smoother.analyses.prediction",
    "posterior_deviation": "napari_smoother.analyses.deviation",
    "prior_reach": "napari_smoother.analyses.prior_reach",
    "rank_genes": "napari_smoother.analyses.ranked_genes",
    "read": "napari_smoother.io.opening",
    "recipe_of_figure": "napari_smoother.figures.embedded",
    "run_recipe": "napari_smoother.batch.task",
    "smooth_embedding": "napari_smoother.analyses.smooth_embedding",
    "spatial_neighbors": "napari_smoother.analyses.spatial_neighbors",
    "spatial_pca": "napari_smoother.analyses.components",
    "spatial_weights": "napari_smoother.analyses.spatial_neighbors",
    "spatially_variable_genes": "napari_smoother.analyses.spatially_variable_genes",
    "umap": "napari_smoother.analyses.umap_layout",
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
