"""What is on screen, as the panels, edges and outlines of a figure for print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.figure_settings import DOMINANT_TYPE, ON_SCREEN, FigureSettings
from napari_smoother.analyses.quantities import Classes
from napari_smoother.analyses.shown import View
from napari_smoother.errors import InputError
from napari_smoother.figures.compose import compose_figure
from napari_smoother.figures.panels import EdgeOverlay, Panel, RegionOutline
from napari_smoother.layers import edges, spot_map
from napari_smoother.study.view import dominant_types, proportion_of, values_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from napari_smoother.layers.scene import Scene
    from napari_smoother.section import Section
    from napari_smoother.study.study import Study

EDGE_WIDTH = 0.4
"""In points."""


@dataclass(frozen=True, slots=True, eq=False)
class FigurePlan:
    """Everything a figure needs, taken from a scene at one moment.

    Parameters
    ----------
    section
        What is drawn.
    panels
        One picture each.
    edges
        The graph, where it is wanted.
    outlines
        Of regions.
    settings
        How to lay it out.
    """

    section: Section
    panels: tuple[Panel, ...]
    edges: EdgeOverlay | None
    outlines: tuple[RegionOutline, ...]
    settings: FigureSettings

    def compose(self) -> Figure:
        """Return the figure; takes a second or more, in any thread."""
        settings = self.settings
        return compose_figure(
            self.section,
            self.panels,
            image="best" if settings.image else None,
            edges=self.edges,
            outlines=self.outlines,
            columns=settings.columns or None,
            width_mm=settings.width_mm,
            scale_bar=settings.scale_bar,
        )


def plan(scene: Scene, settings: FigureSettings) -> FigurePlan:
    """Return what a figure of a scene needs.

    Raises
    ------
    InputError
        If no section is open, or a panel asks for something there is not.
    """
    study = scene.study
    section = study.section
    if section is None:
        raise InputError("There is nothing to print", where="figure", remedy="Open a section")
    return FigurePlan(
        section,
        tuple(panel(scene, content) for content in settings.contents),
        edge_overlay(study) if settings.edges else None,
        region_outlines(study) if settings.outlines else (),
        settings,
    )


def panel(scene: Scene, content: str) -> Panel:
    """Return the panel of one map.

    Raises
    ------
    InputError
        If there is no cell type, gene or column of that name.
    """
    study = scene.study
    composition = study.composition
    if content == ON_SCREEN:
        colours = scene.colours
        return Panel("", np.asarray(colours, dtype=np.float64), scene.key)
    if composition is not None and content == DOMINANT_TYPE:
        return Panel(content, *spot_map.colour_classes(dominant_types(composition)))
    if composition is not None and content in composition.types:
        numbers = proportion_of(composition, content)
        return Panel(content, *spot_map.colour_proportion(numbers))
    return _data_panel(study, content)


def _data_panel(study: Study, name: str) -> Panel:
    section = study.section
    assert section is not None
    if name in section.adata.obs:
        values = values_of(section, View("obs", name))
    else:
        values = values_of(section, View("gene", name))
    if isinstance(values, Classes):
        return Panel(name, *spot_map.colour_classes(values))
    return Panel(
        name, *spot_map.colour_numbers(values, colormap="viridis", percentiles=(1.0, 99.0))
    )


def edge_overlay(study: Study) -> EdgeOverlay | None:
    """Return the edges of the graph, those that are cut in their colour."""
    graph = study.graph
    if graph is None or not len(graph.edges):
        return None
    colours: NDArray[np.floating] = np.array(edges.weight_colours(graph), dtype=np.float64)
    if graph.connectivity < 1:
        colours[graph.crossing] = (*edges.CUT_COLOUR, 1.0)
    segments = graph.section.positions[graph.edges]
    return EdgeOverlay(segments, colours, width=EDGE_WIDTH, key=edges.weight_key(graph))


def region_outlines(study: Study) -> tuple[RegionOutline, ...]:
    """Return the outlines that were drawn, and the holes in them, of visible regions."""
    colours = {region.name: region.colour for region in study.regions.classes if region.visible}
    return tuple(
        RegionOutline(shape.region, ring, (*colours[shape.region], 1.0))
        for shape in study.regions.shapes
        if shape.region in colours
        for ring in shape.rings
        if len(ring) >= 3
    )
