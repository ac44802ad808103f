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
from scipy.spatial import KDTree

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.graph_similarity import expression_factors, histology_factors
from napari_smoother.analyses.plain import to_plain
from napari_smoother.analyses.stage import Stage
from napari_smoother.keys import without_none
from napari_smoother.weights.annotated import write_graph
from napari_smoother.weights.lattice import Spacing, spacing_of
from napari_smoother.weights.linking import automatic_radius, link
from napari_smoother.weights.scaling import identity_factors, rows_of
from napari_smoother.weights.summary import graph_summary, weakening

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.graph_settings import GraphSettings, NeighbourRule
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.section import Section
    from napari_smoother.weights.neighbours import Neighbourhood
    from napari_smoother.weights.summary import GraphSummary, Weakening


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
    weakening
        How much scaling has left of the edges.
    typical_length
        Median length of an edge, in full-resolution pixels; 0 without edges.
    radius
        Up to which spots were linked, in full-resolution pixels: the one that was set or found, or
        else the length of the longest edge.
    window
        Side of the window in which the image is compared, in full-resolution pixels.
    places
        To find the spot at a place, (x, y) in full-resolution pixels.
    """

    section: Section
    settings: GraphSettings
    neighbourhood: Neighbourhood
    weights: csr_array
    summary: GraphSummary
    edges: NDArray[np.integer]
    edge_weights: NDArray[np.float64]
    crossing: NDArray[np.bool_]
    weakening: Weakening
    typical_length: float
    radius: float
    window: float
    places: KDTree

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
            places=KDTree(kept.whole.positions),
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
    spacing, places, radius, neighbours, pairs, expression, histology, similar, values, factors,
    weights, shares, weakening, summary, crossing, made
        The steps.
    """

    def __init__(self) -> None:
        self.running = threading.Lock()
        self.spacing = Stage(_spacing)
        self.places = Stage(_places)
        self.radius = Stage(self._radius)
        self.neighbours = Stage(self._neighbours)
        self.pairs = Stage(_pairs)
        self.expression = Stage(expression_factors)
        self.histology = Stage(histology_factors)
        self.similar = Stage(_similar_weights)
        self.values = Stage(_values)
        self.factors = Stage(_region_factors)
        self.weights = Stage(_scaled)
        self.shares = Stage(_shares)
        self.weakening = Stage(weakening)
        self.summary = Stage(graph_summary)
        self.crossing = Stage(_crossing)
        self.made = Stage(Graph)

    def window(self, section: Section, window: float | None) -> float:
        """Return the side of the window in which the image is compared.

        Parameters
        ----------
        section
            Its scale turns micrometres into pixels.
        window
            In micrometres, or in pixels where the scale is unknown; None for the diameter of a
            spot, or where that is unknown the typical spacing.

        Returns
        -------
        float
            In full-resolution pixels.
        """
        if window is None:
            return section.spot_diameter or self.spacing(section).distance
        return window / (section.micrometres_per_pixel or 1.0)

    def _radius(self, section: Section, rule: NeighbourRule, radius: float | None) -> float | None:
        """Return up to which distance spots are linked, in full-resolution pixels."""
        if rule == "nearest" or (rule == "delaunay" and radius is None):
            return None
        if radius is None:
            return automatic_radius(section.positions, self.spacing(section).distance)
        return radius / (section.micrometres_per_pixel or 1.0)

    def _neighbours(
        self,
        section: Section,
        rule: NeighbourRule,
        k: int,
        mutual: bool,
        radius: float | None,
    ) -> Neighbourhood:
        """Link spots; the radius is in full-resolution pixels."""
        if rule == "nearest":
            tolerance = self.spacing(section).tie_tolerance
            return link(section.positions, k=k, mutual=mutual, tie_tolerance=tolerance)
        return link(section.positions, delaunay=rule == "delaunay", radius=radius)


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
        radius = steps.radius(section, settings.rule, settings.radius)
        neighbourhood = steps.neighbours(
            section, settings.rule, settings.neighbours, settings.mutual, radius
        )
        context.look_up()
        upper, edges, typical_length, longest = steps.pairs(section, neighbourhood)
        context.look_up()
        window = steps.window(section, settings.histology_window)
        expression = histology = None
        if settings.by_expression:
            context.say("comparing expression")
            expression = steps.expression(
                section,
                neighbourhood,
                settings.expression_table,
                settings.expression_components,
                settings.expression_metric,
                settings.expression_width,
            )
        if settings.by_histology:
            context.say("comparing the image")
            histology = steps.histology(
                section,
                neighbourhood,
                settings.histology_features,
                settings.histology_components,
                window,
                settings.histology_metric,
                settings.histology_width,
            )
        context.look_up()
        similar = steps.similar(neighbourhood, expression, histology)
        factors = steps.factors(neighbourhood, labels, settings.boundary_connectivity)
        weights = steps.weights(similar, factors)
        shares = steps.shares(weights, neighbourhood, upper)
        context.look_up()
        return steps.made(
            section,
            settings,
            neighbourhood,
            weights,
            steps.summary(weights),
            edges,
            steps.values(similar, upper),
            steps.crossing(edges, labels),
            steps.weakening(shares),
            typical_length,
            longest if radius is None else radius,
            window,
            steps.places(section),
        )


def _spacing(section: Section) -> Spacing:
    return spacing_of(section.positions)


def _places(section: Section) -> KDTree:
    return KDTree(section.positions)


def _region_factors(
    neighbourhood: Neighbourhood, labels: NDArray[np.integer], connectivity: float
) -> NDArray[np.float64]:
    """Return what each edge keeps between the regions of its ends."""
    return identity_factors(neighbourhood.weights, labels, connectivity)


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


def _pairs(
    section: Section, neighbourhood: Neighbourhood
) -> tuple[NDArray[np.bool_], NDArray[np.integer], float, float]:
    """Return which entries are above the diagonal, their spots (m x 2), and two lengths.

    The typical length of an edge, and that of the longest.
    """
    weights = neighbourhood.weights
    rows = rows_of(weights)
    upper = weights.indices > rows
    lengths = neighbourhood.distances.data[upper]
    typical = float(np.median(lengths)) if len(lengths) else 0.0
    edges = np.column_stack([rows[upper], weights.indices[upper]])
    return upper, edges, typical, float(lengths.max(initial=0.0))


def _values(weights: csr_array, upper: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weight of each pair of neighbours."""
    values: NDArray[np.float64] = weights.data[upper]
    return values


def _shares(
    weights: csr_array, neighbourhood: Neighbourhood, upper: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return what scalings have left of each pair's weight, 0 to 1."""
    shares: NDArray[np.float64] = weights.data[upper] / neighbourhood.weights.data[upper]
    return shares


def _crossing(edges: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which edges join two regions."""
    crossing: NDArray[np.bool_] = labels[edges[:, 0]] != labels[edges[:, 1]]
    return crossing
