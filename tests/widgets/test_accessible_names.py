"""Every control has a name for a screen reader, and is reached by the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QSlider, QWidget

from napari_smoother.widgets.accessible_names import controls_of, name_of
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.dock import EmbeddingWidget, SmootherDock

if TYPE_CHECKING:
    import napari

    from napari_smoother.widgets.session import Session


def test_every_control_has_a_name(
    window: napari.Viewer, dock: SmootherDock, solved: Session
) -> None:
    for kind in SmootherDock.kinds:
        controls = controls_of(dock.turn_to(kind))
        assert controls, kind.title
        assert [c for c in controls if not name_of(c).strip()] == [], kind.title
    scatter = EmbeddingWidget(window)
    for outer in (dock, scatter):
        assert [c for c in controls_of(outer) if not name_of(c).strip()] == []
    scatter.deleteLater()


def test_a_row_names_its_controls(dock: SmootherDock) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert page.lambda_.findChild(QSlider).accessibleName() == "λ smoothness"
    assert page.process.accessibleName() == "Process"


def test_every_control_is_reached_by_tab_and_tables_let_go(
    dock: SmootherDock, solved: Session
) -> None:
    for control in [
        each for kind in SmootherDock.kinds for each in controls_of(dock.turn_to(kind))
    ]:
        if isinstance(control, QComboBox) and control.isEditable():
            continue  # its line has the focus
        if any(
            inner.focusPolicy() != Qt.FocusPolicy.NoFocus
            for inner in control.children()
            if isinstance(inner, QWidget)
        ):
            continue  # what is in it has
        assert control.focusPolicy().value & Qt.FocusPolicy.TabFocus.value, name_of(control)
        if isinstance(control, QAbstractItemView):
            assert not control.tabKeyNavigation(), name_of(control)
