"""What is on screen: which map of spots, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_smoother.analyses.quality_settings import Metric
from napari_smoother.analyses.stage import ComparedByValue

Source = Literal["gene", "obs", "obsm"]
Quantity = Literal["proportion", "deviation", "misfit"]
EmbeddingPicture = Literal["component", "mixture", "domains"]
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
    edges
        Whether the edges of the graph are drawn.
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
    edges: bool = False
    spot_size: float = 1.0
    image_opacity: float = 1.0
