"""The graph of a section: which spots are neighbours, scaled by expression, image and regions.

positions -> neighbours -> similar weights -> weights
counts, image ------------^                  ^
regions -------------------------------------
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.plain import to_plain
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.keys import without_none
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.weights.annotated import write_graph
from napari_smoother.weights.histology import spot_colours
from napari_smoother.weights.lattice import Spacing, spacing_of
from napari_smoother.weights.linking import link
from napari_smoother.weights.scaling import identity_factors, similarity_factors
from napari_smoother.weights.summary import edge_list, graph_summary

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph_settings import GraphSettings, NeighbourRule
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.section import Section
    from napari_smoother.weights.neighbours import Neighbourhood
    from napari_smoother.weights.summary import GraphSummary


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The neighbour graph of a section, scaled.

    Parameters
    ----------
    section
        The section it connects.
    settings
        How.
    neighbourhood
        Before scaling.
    weights
        After scaling, on the same pattern: cut edges are explicit zeros.
    summary
        Counts of what is in `weights`.
    edges
        m x 2 int, each pair of neighbours once.
    edge_weights
        m, scaled by expression and image, before regions.
    crossing
        m, whether an edge joins two regions.
    """

    section: Section
    settings: GraphSettings
    neighbourhood: Neighbourhood
    weights: csr_array
    summary: GraphSummary
    edges: NDArray[np.integer]
    edge_weights: NDArray[np.float64]
    crossing: NDArray[np.bool_]

    @property
    def connectivity(self) -> float:
        """What crossing edges keep of their weight."""
        return self.settings.boundary_connectivity

    def over(self, kept: KeptSpots) -> Graph:
        """Return the graph of kept spots as one of all; its summary stays that of kept ones."""
        before = self.neighbourhood
        return replace(
            self,
            section=kept.whole,
            neighbourhood=replace(
                before,
                weights=kept.weights_over_all(before.weights),
                distances=kept.weights_over_all(before.distances),
            ),
            weights=kept.weights_over_all(self.weights),
            summary=replace(
                self.summary, components=kept.over_all(self.summary.components, missing=-1)
            ),
            edges=kept.places[self.edges],
        )

    def describe(self) -> str:
        """Say it in a line."""
        found = self.summary
        alone = f", {found.n_isolated:,} spots alone" if found.n_isolated else ""
        cut = f", {found.n_cut:,} cut" if found.n_cut else ""
        return f"{found.n_edges:,} edges, {found.mean_degree:.2f} a spot{cut}{alone}"

    def write(self, adata: AnnData, key_added: str = "spatial") -> None:
        """Write it into its section as squidpy does; see `napari_smoother.spatial_neighbors`."""
        write_graph(
            adata,
            self.weights,
            self.neighbourhood.distances,
            without_none(to_plain(self.settings)),
            key_added,
        )


class GraphSteps:
    """The steps to a graph, each remembered while its inputs are the same.

    Attributes
    ----------
    running
        Held by whoever runs the steps: one at a time.
    spacing, neighbours, expression, histology, similar, edges, factors, weights, summary,
    crossing, made
        The steps.
    """

    def __init__(self) -> None:
        self.running = threading.Lock()
        self.spacing = Stage(_spacing)
        self.neighbours = Stage(self._neighbours)
        self.expression = Stage(_expression_factors)
        self.histology = Stage(_histology_factors)
        self.similar = Stage(_similar_weights)
        self.edges = Stage(_edges)
        self.factors = Stage(_region_factors)
        self.weights = Stage(_scaled)
        self.summary = Stage(graph_summary)
        self.crossing = Stage(_crossing)
        self.made = Stage(Graph)

    def radius(self, section: Section, radius: float | None) -> float:
        """Return a radius in full-resolution pixels.

        Parameters
        ----------
        section
            Its scale turns micrometres into pixels.
        radius
            In micrometres, or in pixels where the scale is unknown; None for one and a half
            times the typical spacing.
        """
        if radius is None:
            return 1.5 * self.spacing(section).distance
        return radius / (section.micrometres_per_pixel or 1.0)

    def _neighbours(
        self,
        section: Section,
        rule: NeighbourRule,
        k: int,
        mutual: bool,
        radius: float | None,
    ) -> Neighbourhood:
        if rule == "nearest":
            tolerance = self.spacing(section).tie_tolerance
            return link(section.positions, k=k, mutual=mutual, tie_tolerance=tolerance)
        if rule == "delaunay":
            longest = None if radius is None else self.radius(section, radius)
            return link(section.positions, delaunay=True, radius=longest)
        return link(section.positions, radius=self.radius(section, radius))


def compute(
    section: Section,
    labels: NDArray[np.integer],
    settings: GraphSettings,
    context: Context = Context(),
    steps: GraphSteps | None = None,
) -> Graph:
    """Connect the spots of a section.

    Parameters
    ----------
    section
        Its n spots.
    labels
        n codes of regions, -1 for none.
    settings
        How.
    context
        Who asks.
    steps
        That remember what they found before.

    Returns
    -------
    Graph

    Raises
    ------
    InputError
        If data or settings cannot be used, or there would be more edges than can be worked with.
    Cancelled
        If the context said so.
    """
    steps = GraphSteps() if steps is None else steps
    with steps.running:
        context.look_up()
        neighbourhood = steps.neighbours(
            section, settings.rule, settings.neighbours, settings.mutual, settings.radius
        )
        context.look_up()
        expression = histology = None
        if settings.by_expression:
            context.say("comparing expression")
            expression = steps.expression(section, neighbourhood, settings.expression_components)
        if settings.by_histology:
            context.say("comparing the image")
            histology = steps.histology(section, neighbourhood)
        context.look_up()
        similar = steps.similar(neighbourhood, expression, histology)
        factors = steps.factors(neighbourhood, labels, settings.boundary_connectivity)
        weights = steps.weights(similar, factors)
        edges, edge_weights = steps.edges(similar)
        return steps.made(
            section,
            settings,
            neighbourhood,
            weights,
            steps.summary(weights),
            edges,
            edge_weights,
            steps.crossing(edges, labels),
        )


def _spacing(section: Section) -> Spacing:
    return spacing_of(section.positions)


def _region_factors(
    neighbourhood: Neighbourhood, labels: NDArray[np.integer], connectivity: float
) -> NDArray[np.float64]:
    """Return what each edge keeps between the regions of its ends."""
    return identity_factors(neighbourhood.weights, labels, connectivity)


def _expression_factors(
    section: Section, neighbourhood: Neighbourhood, n_components: int
) -> NDArray[np.float64]:
    """Return how alike the expression at the ends of each edge is."""
    logged = normalise_counts(section.adata.X, "log1p")
    return similarity_factors(neighbourhood, logged, n_components=n_components)


def _histology_factors(section: Section, neighbourhood: Neighbourhood) -> NDArray[np.float64]:
    """Return how alike the tissue image at the ends of each edge is."""
    if not section.images:
        raise InputError(
            "The section has no image to compare",
            where=section.name,
            remedy="Open a section with an image, or untick the scaling by histology",
        )
    image = section.images[0]
    colours = spot_colours(
        section.positions,
        image.pixels,
        scale=image.scale,
        diameter=section.spot_diameter or spacing_of(section.positions).distance,
    )
    return similarity_factors(neighbourhood, colours, metric="euclidean", reduce="none")


def _similar_weights(
    neighbourhood: Neighbourhood,
    expression: NDArray[np.float64] | None,
    histology: NDArray[np.float64] | None,
) -> csr_array:
    """Return the weights scaled by what was asked for."""
    weights = neighbourhood.weights
    for factors in (expression, histology):
        if factors is not None:
            weights = _scaled(weights, factors)
    return weights


def _scaled(weights: csr_array, factors: NDArray[np.float64]) -> csr_array:
    """Return weights times factors on the same pattern."""
    return csr_array(
        (weights.data * factors, weights.indices, weights.indptr), shape=weights.shape
    )


def _edges(weights: csr_array) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Return each pair of neighbours once (m x 2), and their weights."""
    first, second, values = edge_list(weights)
    return np.column_stack([first, second]), values


def _crossing(edges: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which edges join two regions."""
    crossing: NDArray[np.bool_] = labels[edges[:, 0]] != labels[edges[:, 1]]
    return crossing
