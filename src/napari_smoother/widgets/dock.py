"""The one dock: a header, the pages, the key to the colours, and the status line."""

from __future__ import annotations

import html
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.widgets import opening, unsaved
from napari_smoother.widgets.autosave import Autosave
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.key_panel import KeyPanel
from napari_smoother.widgets.page import Page, listen, silent
from napari_smoother.widgets.quality_page import QualityPage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.regions_page import RegionsPage
from napari_smoother.widgets.session import session_of
from napari_smoother.widgets.status_line import StatusLine
from napari_smoother.widgets.wheel import WheelNeedsFocus

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

    from napari_smoother.section import Section

NARROWEST = 420
"""Pixels; below this the sliders are too short to aim with."""


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
        self.setMinimumWidth(NARROWEST)
        self.setAcceptDrops(True)
        self.header = QLabel()
        self.header.setTextFormat(Qt.TextFormat.RichText)
        self.sections = QComboBox()
        self.sections.setToolTip("The open sections; each keeps its settings, history and results")
        self.sections.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.sections.activated.connect(session.study.switch_to)
        self.close_section = QToolButton()
        self.close_section.setText("×")
        self.close_section.setAutoRaise(True)
        self.close_section.setToolTip("Close this section; asks about unsaved work")
        self.close_section.clicked.connect(lambda: unsaved.close_section(session, self.window()))
        session.may_close = partial(unsaved.may_close, session)
        if not session.findChildren(Autosave):
            Autosave(session)
        self.undo = self._step_button("↶", "Undo", "Ctrl+Z", session.study.undo)
        self.redo = self._step_button("↷", "Redo", "Ctrl+Shift+Z", session.study.redo)
        top = QHBoxLayout()
        top.addWidget(self.sections, 1)
        top.addWidget(self.close_section)
        top.addWidget(self.header, 1)
        top.addWidget(self.undo)
        top.addWidget(self.redo)
        self.key = KeyPanel()
        self.status = StatusLine(session)
        self.pages = tuple(kind(session) for kind in self.kinds)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(top)
        if len(self.pages) == 1:
            layout.addWidget(scrollable(self.pages[0]), 1)
        else:
            self.tabs = QTabWidget()
            for page in self.pages:
                self.tabs.addTab(scrollable(page), page.title)
            self.tabs.currentChanged.connect(lambda number: self.pages[number].enter())
            layout.addWidget(self.tabs, 1)
        layout.addWidget(self.key)
        layout.addWidget(self.status)
        WheelNeedsFocus(self)
        listen(self, session.study.section_changed, self._show_section)
        listen(self, session.study.sections_changed, self._show_sections)
        listen(self, session.study.recipe_changed, self._show_steps)
        listen(
            self,
            session.study.quality_analysis.result_changed,
            lambda quality: self._show_section(session.study.section),
        )
        listen(self, session.scene.key_changed, self.key.show_key)
        self._show_sections()
        self._show_section(session.study.section)
        self.key.show_key(session.scene.key)

    def page(self, kind: type[Page]) -> Page:
        """Return the page of a kind."""
        return next(page for page in self.pages if isinstance(page, kind))

    def turn_to(self, kind: type[Page]) -> Page:
        """Bring a page to the front."""
        page = self.page(kind)
        self.tabs.setCurrentIndex(self.pages.index(page))
        return page

    def showEvent(self, event: QShowEvent) -> None:
        """Bring the map of a page that is alone to the top, as turning to its tab does."""
        super().showEvent(event)
        if len(self.pages) == 1 and not event.spontaneous():
            self.pages[0].enter()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Let files and folders be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped; unlike the canvas, the dock has no other reader to ask about."""
        event.acceptProposedAction()
        for url in event.mimeData().urls():
            opening.open_path(self.session, Path(url.toLocalFile()))

    def _step_button(
        self, sign: str, name: str, keys: str, move: Callable[[], None]
    ) -> QToolButton:
        button = QToolButton()
        button.setText(sign)
        button.setAccessibleName(name)
        button.setAutoRaise(True)
        button.setShortcut(keys)
        button.setToolTip(f"{name} the last change of anything, also of what is shown ({keys})")
        button.clicked.connect(lambda: move())
        return button

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
        if section is None:
            self.header.setText("<b>Smoother</b>")
            return
        several = len(self.session.study.sections) > 1
        name = "" if several else f"<b>{html.escape(section.name)}</b> · "
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


class FigureWidget(FramedPages):
    """The Figure page as a widget of its own."""

    kinds = (FigurePage,)


def scrollable(page: Page) -> QScrollArea:
    """Return a page in a frame that scrolls where the window is too low for it."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setWidget(page)
    return area
