"""The recipe: everything a user can decide about a section, in one immutable tree."""

from __future__ import annotations

from dataclasses import dataclass

from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.embedding_settings import AutoencoderSettings, ReductionSettings
from napari_smoother.analyses.figure_settings import FigureSettings
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.regions import Regions
from napari_smoother.analyses.shown import Shown
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.analyses.umap_settings import UmapSettings


@dataclass(frozen=True, slots=True)
class Recipe(ComparedByValue):
    """Everything a user can decide about a section.

    Parameters
    ----------
    quality
        Which spots are analysed.
    graph
        Which spots are neighbours, and how closely they are linked.
    regions
        Classes of tissue, drawn or imported, between which edges are weakened.
    deconvolution
        How composition is estimated.
    reduction
        How spatial components and domains are found.
    autoencoder
        How a spatial autoencoder is trained.
    umap
        How an embedding is laid out in a plane.
    imputation
        How a gene is smoothed and filled in.
    comparison
        How regions, domains or other groups of spots are compared.
    shown
        Which map is on screen.
    figure
        What is printed.
    """

    quality: QualitySettings = QualitySettings()
    graph: GraphSettings = GraphSettings()
    regions: Regions = Regions()
    deconvolution: DeconvolutionSettings = DeconvolutionSettings()
    reduction: ReductionSettings = ReductionSettings()
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    umap: UmapSettings = UmapSettings()
    imputation: ImputationSettings = ImputationSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    shown: Shown = Shown()
    figure: FigureSettings = FigureSettings()
