"""A figure of a study: what it needs, taken at one moment, and drawn in any thread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.figure_settings import ON_SCREEN
from napari_smoother.errors import InputError
from napari_smoother.figures.compose import compose_figure
from napari_smoother.figures.content import count_spots
from napari_smoother.figures.drawing import spot_diameter, view_of
from napari_smoother.figures.panels import Panel
from napari_smoother.figures.picture import with_common_limits
from napari_smoother.printing.contents import Source, picture_of
from napari_smoother.printing.overlays import edge_overlay, part_extent, region_outlines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_smoother.analyses.figure_settings import FigureSettings, PanelSettings
    from napari_smoother.figures.drawing import Extent
    from napari_smoother.figures.picture import Picture
    from napari_smoother.study.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A figure, and what has to be said about it.

    Parameters
    ----------
    figure
        To be written.
    left_out
        Why panels or parts that were asked for are not in it: a sentence each.
    n_spots
        Circles it has.
    as_picture
        Whether these are a picture in vector files.
    """

    figure: Figure
    left_out: tuple[str, ...]
    n_spots: int
    as_picture: bool

    @property
    def remark(self) -> str:
        """What has to be said about it; empty for nothing."""
        return " ".join(self.left_out)


@dataclass(frozen=True, slots=True, eq=False)
class FigurePlan:
    """Everything a figure needs, taken from a study at one moment.

    Parameters
    ----------
    source
        Section, recipe and results.
    settings
        How to lay it out.
    """

    source: Source
    settings: FigureSettings

    def compose(self, context: Context = Context()) -> Drawn:
        """Draw the figure; takes a second or more, in any thread.

        Raises
        ------
        InputError
            If none of its panels is there for this section, or a size cannot be used.
        Cancelled
            If the context says so.
        """
        settings, section = self.settings, self.source.section
        panels, left_out = self.panels(context)
        view, fault = self._view()
        insets, faults = self._insets()
        left_out += fault + faults
        context.say("composing the figure")
        shown = self.source.recipe.shown
        size = _given(settings.spot_size, shown.spot_size)
        figure = compose_figure(
            section,
            panels,
            image="best" if settings.image else None,
            edges=edge_overlay(self.source.graph) if settings.edges else None,
            outlines=region_outlines(self.source.recipe.regions) if settings.outlines else (),
            columns=settings.columns or None,
            width_mm=settings.width_mm,
            scale_bar=settings.scale_bar,
            font_size=settings.font_size,
            letters=settings.letters,
            letter_size=settings.letter_size,
            view=view,
            insets=insets,
            vector_spots=settings.vector_spots,
            image_opacity=_given(settings.image_opacity, shown.image_opacity),
            spot_size=size,
        )
        diameter = size * spot_diameter(section)
        spots = count_spots(section, panels, (view, *insets), diameter)
        return Drawn(figure, tuple(left_out), spots, spots > settings.vector_spots)

    def panels(self, context: Context = Context()) -> tuple[list[Panel], list[str]]:
        """Return the panels that are there, and why others are not.

        Raises
        ------
        InputError
            If none is there.
        """
        made: list[tuple[PanelSettings, Picture]] = []
        left_out = []
        for number, content in enumerate(self.settings.contents):
            context.say("panels of the figure", number, len(self.settings.contents))
            try:
                picture = picture_of(self.source, content)
            except InputError as fault:
                left_out.append(f'Left out: "{content}". {fault.problem}.')
                continue
            made.append((self.settings.panel(content), picture))
        if not made:
            raise InputError(
                " ".join(left_out) or "No panel is chosen",
                where="figure",
                remedy="Choose panels that this section has",
            )
        pictures = [picture for _, picture in made]
        if self.settings.limits == "common":
            pictures = with_common_limits(pictures)
        chosen = [panel for panel, _ in made]
        return list(map(self._panel, chosen, pictures)), left_out

    def _panel(self, chosen: PanelSettings, picture: Picture) -> Panel:
        title = chosen.title
        if title is None:
            title = "" if chosen.content == ON_SCREEN else chosen.content
        given = (chosen.low, chosen.high)
        if given != (None, None) and picture.is_numbers:
            low, high = picture.found_limits()
            low = low if chosen.low is None else chosen.low
            high = high if chosen.high is None else chosen.high
            picture = replace(picture, limits=(low, high))
        painted = self.source.painted
        if chosen.content == ON_SCREEN and painted is not None and given == (None, None):
            return Panel(title, *painted)
        colours, key = picture.colours()
        return Panel(title, colours, key if key.quantity else None)

    def _view(self) -> tuple[Extent, list[str]]:
        """Return what is drawn of the section, and why it is not what was asked for."""
        section = self.source.section
        if self.settings.crop is None:
            return view_of(section), []
        try:
            return part_extent(self.source, self.settings.crop), []
        except InputError as fault:
            return view_of(section), [f"Not cropped. {fault.problem}."]

    def _insets(self) -> tuple[list[Extent], list[str]]:
        found, faults = [], []
        for inset in self.settings.insets:
            try:
                found.append(part_extent(self.source, inset))
            except InputError as fault:
                faults.append(f"An inset is left out. {fault.problem}.")
        return found, faults


def plan(study: Study, settings: FigureSettings | None = None, painted: Any = None) -> FigurePlan:
    """Take all that a figure of a study needs.

    Parameters
    ----------
    study
        With an open section.
    settings
        Of the figure; None for those of the recipe.
    painted
        Colours (n x 4) and key on screen where these are not those of the recipe.

    Raises
    ------
    InputError
        If no section is open.
    """
    section = study.section
    if section is None:
        raise InputError("There is nothing to print", where="figure", remedy="Open a section")
    found = {
        name: analysis.result
        for name, analysis in study.analyses.items()
        if analysis.result is not None
    }
    source = Source(
        section, study.recipe, study.region_labels, study.graph, study.composition, found, painted
    )
    return FigurePlan(source, study.recipe.figure if settings is None else settings)


def _given(own: float | None, on_screen: float) -> float:
    return on_screen if own is None else own
