"""What is on screen: which map of spots, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_smoother.analyses.embedding_source import EmbeddingSource
from napari_smoother.analyses.quality_settings import Metric
from napari_smoother.analyses.stage import ComparedByValue

Source = Literal["gene", "obs", "obsm"]
Quantity = Literal["proportion", "deviation", "misfit"]
EmbeddingPicture = Literal["component", "mixture", "domains"]
ComparisonPart = Literal["types", "genes"]
ImputationPicture = Literal["raw", "smoothed", "both", "difference"]


@dataclass(frozen=True, slots=True)
class View(ComparedByValue):
    """What to colour spots by.

    Parameters
    ----------
    source
        Where the values are: a gene, an obs column, or a column of an obsm table.
    key
        Name of the gene, the obs column or the obsm table.
    column
        Column of the obsm table.
    low, high
        Percentiles that the ends of the colour map stand for.
    colormap
        Name of the colour map of numbers.
    """

    source: Source
    key: str
    column: str = ""
    low: float = 1.0
    high: float = 99.0
    colormap: str = "viridis"


@dataclass(frozen=True, slots=True)
class EmbeddingShown(ComparedByValue):
    """What the map of an embedding shows.

    Parameters
    ----------
    what
        One dim, three of them as colours, or the domains found on it.
    component
        The dim that is shown, counted from 0.
    channels
        The dims that are red, green and blue.
    """

    what: EmbeddingPicture = "component"
    component: int = 0
    channels: tuple[int, int, int] = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class ImputationShown(ComparedByValue):
    """What the map of an imputed gene shows.

    Parameters
    ----------
    what
        The gene as it was measured, as it is smoothed, both beside each other, or what
        smoothing changed.
    own_limits
        Whether smoothed values have limits of their own; not where both are on screen.
    """

    what: ImputationPicture = "smoothed"
    own_limits: bool = False


@dataclass(frozen=True, slots=True)
class ScatterShown(ComparedByValue):
    """What the scatter of an embedding shows, beside the map.

    Parameters
    ----------
    of
        The embedding.
    across, up
        Its dims that are the axes, counted from 0.
    """

    of: EmbeddingSource = EmbeddingSource()
    across: int = 0
    up: int = 1


@dataclass(frozen=True, slots=True)
class ComparisonShown(ComparedByValue):
    """What is listed of a comparison.

    Parameters
    ----------
    what
        Cell types, or genes.
    group
        Whose genes, where those of several groups are ranked; ``""`` for the first.
    fold_change
        Genes are listed whose log2 fold change is as large, up or down.
    adjusted_p
        Genes are listed whose adjusted p-value is at most this.
    """

    what: ComparisonPart = "types"
    group: str = ""
    fold_change: float = 0.5
    adjusted_p: float = 0.05


@dataclass(frozen=True, slots=True)
class Shown(ComparedByValue):
    """Which map is on screen, and how it is drawn.

    Parameters
    ----------
    stage
        The step of the work whose map is in front: ``"data"``, ``"regions"``,
        ``"composition"``, or the name of an analysis.
    view
        What the spots of the data are coloured by; None for one plain colour.
    cell_type
        Which cell type the map of the composition shows; ``""`` for the most abundant one of
        each spot.
    quantity
        What it shows of that type: its proportion, the posterior deviation of that, or what the
        mixture leaves unexplained.
    quality
        What the map of the quality of spots shows.
    reduction, autoencoder, imputation
        What the maps of these analyses show.
    scatter
        What the scatter of an embedding shows.
    comparison
        What is listed of a comparison.
    edges
        Whether the edges of the graph are drawn over every map.
    edges_with_graph
        Whether they are drawn while the page of the graph is in front, and those that are cut
        while that of regions is.
    reach
        Whether rings on the map show how far the prior reaches, on the page of the graph.
    spot_size
        Diameter of the spots on screen, times their own.
    image_opacity
        Of the tissue image, from 0 to 1.
    """

    stage: str = "data"
    view: View | None = None
    cell_type: str = ""
    quantity: Quantity = "proportion"
    quality: Metric = "counts"
    reduction: EmbeddingShown = EmbeddingShown()
    autoencoder: EmbeddingShown = EmbeddingShown()
    imputation: ImputationShown = ImputationShown()
    scatter: ScatterShown = ScatterShown()
    comparison: ComparisonShown = ComparisonShown()
    edges: bool = False
    edges_with_graph: bool = True
    reach: bool = False
    spot_size: float = 1.0
    image_opacity: float = 1.0
