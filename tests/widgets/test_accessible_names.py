"""Every control has a name for a screen reader, and is reached by the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QSlider, QWidget

from napari_smoother.widgets.accessible_names import controls_of, name_of
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.dock import EmbeddingWidget, SmootherDock

if TYPE_CHECKING:
    import napari

    from napari_smoother.widgets.session import Session


@pytest.mark.parametrize("kind", SmootherDock.kinds, ids=lambda kind: kind.title)
def test_every_control_has_a_name(dock: SmootherDock, solved: Session, kind: type) -> None:
    controls = controls_of(dock.turn_to(kind))
    assert controls
    assert [c for c in controls if not name_of(c).strip()] == []


def test_what_is_around_the_pages_has_names(
    window: napari.Viewer, dock: SmootherDock, solved: Session
) -> None:
    scatter = EmbeddingWidget(window)
    for outer in (dock, scatter):
        assert [c for c in controls_of(outer) if not name_of(c).strip()] == []
    scatter.deleteLater()


def test_a_row_names_its_controls(dock: SmootherDock) -> None:
    page = dock.turn_to(DeconvolvePage)
    assert page.lambda_.findChild(QSlider).accessibleName() == "λ smoothness"
    assert page.process.accessibleName() == "Process"


@pytest.mark.parametrize("kind", SmootherDock.kinds, ids=lambda kind: kind.title)
def test_every_control_is_reached_by_tab_and_tables_let_go(
    dock: SmootherDock, solved: Session, kind: type
) -> None:
    page = dock.turn_to(kind)
    for control in controls_of(page):
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
