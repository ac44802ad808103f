"""The one dock: a header, the pages, the key to the colours, and the status line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.widgets import cheat_sheet, figure_saving, keys, opening, picture, unsaved
from napari_smoother.widgets.accessible_names import name_controls
from napari_smoother.widgets.autosave import Autosave
from napari_smoother.widgets.compare_page import ComparePage
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.drop_target import open_dropped, paths_of
from napari_smoother.widgets.embedding_view import EmbeddingView
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.key_panel import KeyPanel
from napari_smoother.widgets.page import (
    ElidedLabel,
    Page,
    listen,
    scroll_area,
    silent,
    wrapped_label,
)
from napari_smoother.widgets.page_tabs import PageTabs
from napari_smoother.widgets.quality_page import QualityPage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.regions_page import RegionsPage
from napari_smoother.widgets.session import session_of
from napari_smoother.widgets.status_line import StatusLine
from napari_smoother.widgets.wheel import WheelNeedsFocus

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QShowEvent

    from napari_smoother.io.file_kinds import FileKind
    from napari_smoother.layers.spot_map import Key
    from napari_smoother.section import Section

NARROWEST = 420
"""Pixels; below this the sliders are too short to aim with."""


NO_SECTION = (
    "Drop a section (Space Ranger folder or .h5ad) anywhere on the window, with its reference, "
    "regions or recipe if you like; or open one on the Data page."
)

PAGE_OF: dict[FileKind, type[Page]] = {"reference": DeconvolvePage, "regions": RegionsPage}


class FramedPages(QWidget):
    """Pages between a header, and the key and status that stay in view.

    Parameters
    ----------
    viewer
        The napari viewer to work in; all docks of a viewer share its session.
    """

    kinds: ClassVar[tuple[type[Page], ...]] = ()
    """One page is shown as it is, several as tabs."""

    # napari hands its viewer to a parameter that is annotated with exactly these words.
    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        session = session_of(viewer)
        self.session = session
        keys.register()
        self.setMinimumWidth(NARROWEST)
        self.setAcceptDrops(True)
        self.header = ElidedLabel()
        self.next_step = wrapped_label(NO_SECTION)
        self.sections = QComboBox()
        self.sections.setToolTip("The open sections; each keeps its settings, history and results")
        self.sections.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.sections.activated.connect(session.study.switch_to)
        self.close_section = tool_button(
            "×", "Close section", "Close this section; asks about unsaved work"
        )
        self.close_section.clicked.connect(lambda: unsaved.close_section(session, self.window()))
        session.may_close = partial(unsaved.may_close, session)
        if not session.findChildren(Autosave):
            Autosave(session)
        self.undo = self._step_button("↶", "Undo", "Ctrl+Z", session.study.undo)
        self.redo = self._step_button("↷", "Redo", "Ctrl+Shift+Z", session.study.redo)
        self.save_figure = QShortcut(QKeySequence(figure_saving.SHORTCUT), self)
        # Several docks of a window have it: then it is ambiguous, and the first answers.
        for pressed in (self.save_figure.activated, self.save_figure.activatedAmbiguously):
            pressed.connect(self._save_figure)
        top = QHBoxLayout()
        top.addWidget(self.sections, 1)
        top.addWidget(self.close_section)
        top.addWidget(self.header, 1)
        self.copy = tool_button(
            "copy", "Copy picture", "Copies the view, with the key to its colours, as a picture"
        )
        self.copy.clicked.connect(lambda: picture.copy(session))
        self.help = tool_button("?", "Keys", "Lists the keys of the canvas (?)")
        self.help.setShortcut("?")
        self.help.clicked.connect(lambda: cheat_sheet.show(session, keys.described()))
        for button in (self.undo, self.redo, self.copy, self.help):
            top.addWidget(button)
        self.key = KeyPanel()
        self.status = StatusLine(session)
        self.pages = tuple(kind(session) for kind in self.kinds)
        self._front = self.pages[0]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(top)
        layout.addWidget(self.next_step)
        self.parts = QSplitter(Qt.Orientation.Vertical)
        self.parts.setChildrenCollapsible(False)
        if len(self.pages) == 1:
            self.parts.addWidget(framed(self.pages[0]))
        else:
            self.tabs = PageTabs([(page.title, framed(page)) for page in self.pages])
            self.tabs.currentChanged.connect(self._turn_over)
            self.parts.addWidget(self.tabs)
        self.parts.addWidget(self.key)
        self.parts.setStretchFactor(0, 1)
        self.parts.setStretchFactor(1, 0)
        layout.addWidget(self.parts, 1)
        layout.addWidget(self.status)
        WheelNeedsFocus(self)
        name_controls(self)
        listen(self, session.study.section_changed, self._show_section)
        listen(self, session.study.sections_changed, self._show_sections)
        listen(self, session.study.recipe_changed, self._show_steps)
        listen(
            self,
            session.study.quality_analysis.result_changed,
            lambda quality: self._show_section(session.study.section),
        )
        listen(self, session.scene.key_changed, self._show_key)
        session.dropped.connect(self._turn_to_dropped)
        self._show_sections()
        self._show_section(session.study.section)
        self._show_key(session.scene.key)

    @property
    def page_in_front(self) -> Page:
        """The page that is looked at."""
        return self._front

    def page(self, kind: type[Page]) -> Page:
        """Return the page of a kind."""
        return next(page for page in self.pages if isinstance(page, kind))

    def turn_to(self, kind: type[Page]) -> Page:
        """Bring a page to the front."""
        page = self.page(kind)
        self.tabs.setCurrentIndex(self.pages.index(page))
        return page

    def _turn_over(self, number: int) -> None:
        before, self._front = self._front, self.pages[number]
        self.session.scene.graph.want(self, self._front.shows_edges)
        before.leave()
        self._front.enter()
        self._show_key(self.session.scene.key)

    def showEvent(self, event: QShowEvent) -> None:
        """Bring the map of a page that is alone to the top, as turning to its tab does."""
        super().showEvent(event)
        if event.spontaneous():
            return
        if len(self.pages) == 1:
            self._front.enter()
        self.session.scene.graph.want(self, self._front.shows_edges)

    def hideEvent(self, event: QHideEvent) -> None:
        """Take away what belongs to the page in front alone."""
        super().hideEvent(event)
        if not event.spontaneous() and self.session.has_canvas:
            self.session.scene.graph.want(self, "none")
            self._front.leave()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Let files and folders be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped, or say why that cannot be."""
        event.acceptProposedAction()
        paths = paths_of(event)
        if not open_dropped(self.session, paths):
            for path in paths:
                opening.open_path(self.session, path)

    def _show_key(self, key: Key | None) -> None:
        """Show what the colours mean, unless the page in front does."""
        had_classes = self.key.has_classes
        self.key.show_key(None if key is not None and self.page_in_front.is_key(key) else key)
        if self.key.has_classes != had_classes:
            height = self.key.sizeHint().height()
            self.parts.setSizes([self.parts.height() - height, height])

    def _turn_to_dropped(self, kind: FileKind) -> None:
        """Bring the page to the front that a dropped file is for."""
        wanted = PAGE_OF.get(kind)
        if len(self.pages) > 1 and wanted is not None:
            self.turn_to(wanted)

    def _step_button(
        self, sign: str, name: str, keys: str, move: Callable[[], None]
    ) -> QToolButton:
        button = tool_button(
            sign, name, f"{name} the last change of anything, also of what is shown ({keys})"
        )
        button.setShortcut(keys)
        button.clicked.connect(lambda: move())
        return button

    def _save_figure(self) -> None:
        figure_saving.ask_and_save(self.session, self.window())

    def _show_steps(self) -> None:
        self.undo.setEnabled(self.session.study.can_undo)
        self.redo.setEnabled(self.session.study.can_redo)

    def _show_sections(self) -> None:
        """List the open sections where there are several to choose from."""
        study = self.session.study
        with silent(self.sections):
            self.sections.clear()
            self.sections.addItems([section.name for section in study.sections])
            self.sections.setCurrentIndex(study.place)
        for part in (self.sections, self.close_section):
            part.setVisible(len(study.sections) > 1)
        self._show_section(study.section)

    def _show_section(self, section: Section | None) -> None:
        self._show_steps()
        self.next_step.setVisible(section is None)
        if section is None:
            self.header.setText("Smoother")
            return
        several = len(self.session.study.sections) > 1
        name = "" if several else f"{section.name} · "
        spots = f"{section.n_spots:,} spots"
        quality = self.session.study.quality_analysis
        if quality.result is not None and quality.settings.are_limits:
            spots = f"{section.n_spots - quality.result.n_removed:,} of {spots}"
        self.header.setText(f"{name}{spots} · {section.adata.n_vars:,} genes")


class SmootherDock(FramedPages):
    """All pages of the session of a viewer."""

    kinds = (
        DataPage,
        QualityPage,
        GraphPage,
        RegionsPage,
        DeconvolvePage,
        ReducePage,
        ImputePage,
        ComparePage,
        FigurePage,
    )


class DataWidget(FramedPages):
    """The Data page as a widget of its own."""

    kinds = (DataPage,)


class QualityWidget(FramedPages):
    """The Quality page as a widget of its own."""

    kinds = (QualityPage,)


class GraphWidget(FramedPages):
    """The Graph page as a widget of its own."""

    kinds = (GraphPage,)


class RegionsWidget(FramedPages):
    """The Regions page as a widget of its own."""

    kinds = (RegionsPage,)


class DeconvolveWidget(FramedPages):
    """The Deconvolve page as a widget of its own."""

    kinds = (DeconvolvePage,)


class ReduceWidget(FramedPages):
    """The Reduce page as a widget of its own."""

    kinds = (ReducePage,)


class ImputeWidget(FramedPages):
    """The Impute page as a widget of its own."""

    kinds = (ImputePage,)


class EmbeddingWidget(FramedPages):
    """The scatter of an embedding, beside the other pages."""

    kinds = (EmbeddingView,)


class CompareWidget(FramedPages):
    """The Compare page as a widget of its own."""

    kinds = (ComparePage,)


class FigureWidget(FramedPages):
    """The Figure page as a widget of its own."""

    kinds = (FigurePage,)


def tool_button(sign: str, name: str, tip: str) -> QToolButton:
    """Return a small button of the header."""
    button = QToolButton()
    button.setText(sign)
    button.setAccessibleName(name)
    button.setAutoRaise(True)
    button.setToolTip(tip)
    return button


def framed(page: Page) -> QWidget:
    """Return a page so that it can be seen whole where the window is too low for it."""
    return page if page.scrolls_itself else scroll_area(page)
