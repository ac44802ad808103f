"""The Embedding dock: circling points, regions of them, colours, and pointing, both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt

from napari_smoother.analyses import umap_layout
from napari_smoother.analyses.embedding_source import EmbeddingSource
from napari_smoother.analyses.shown import ScatterShown, View
from napari_smoother.layers.scene import REGIONS
from napari_smoother.layers.spot_highlight import POINTED, SELECTED
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.models.reduction import neighbour_layout
from napari_smoother.study.annotated import annotate, findings_of
from napari_smoother.study.study import Study
from napari_smoother.widgets.dock import EmbeddingWidget
from napari_smoother.widgets.embedding_view import EmbeddingView
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.scatter_canvas import LEFT as MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.section import Section
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier
LAYOUT = EmbeddingSource("obsm", "X_layout")
EMPTY = 5
"""A spot that the layout has no numbers for."""


@pytest.fixture
def section(sample: Sample) -> Section:
    """Return the section with a layout of its own, so that nothing has to be computed."""
    adata = sample.section.adata.copy()
    layout = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    layout[EMPTY] = np.nan
    adata.obsm["X_layout"] = layout
    return replace(sample.section, adata=adata)


@pytest.fixture
def view(
    window: napari.Viewer,
    session: Session,
    section: Section,
    settle: Callable[[Session], None],
) -> EmbeddingView:
    session.study.open(section)
    session.scene.change(scatter=ScatterShown(LAYOUT))
    widget = EmbeddingWidget(window)
    dock = window.window.add_dock_widget(widget, name="Embedding", area="right", tabify=True)
    dock.show()
    dock.raise_()
    settle(session)
    (page,) = widget.pages
    assert isinstance(page, EmbeddingView)
    assert page.isVisible()
    return page


def circle(
    qtbot: QtBot,
    view: EmbeddingView,
    centre: tuple[float, float],
    radius: float,
    held: Qt.KeyboardModifier = NONE,
    *,
    release: bool = True,
) -> np.ndarray:
    """Circle points by the mouse, in shares of the canvas; return which are in the outline."""
    canvas, outline = view.canvas, []
    for angle in np.linspace(0, 2 * np.pi, 25):
        x = centre[0] + radius * np.cos(angle)
        y = centre[1] + radius * np.sin(angle)
        outline.append(QPoint(int(x * canvas.width()), int(y * canvas.height())))
    qtbot.mousePress(canvas, LEFT, held, pos=outline[0])
    for place in outline[1:]:
        qtbot.mouseMove(canvas, place)
        qtbot.wait(4)
    if release:
        qtbot.mouseRelease(canvas, LEFT, held, pos=outline[-1])
    pixels = np.array([(place.x() - MARGIN, place.y()) for place in outline])
    corners = canvas._frame.to_plane(pixels)
    area = shapely.make_valid(shapely.Polygon(corners))
    layout = view.study.section.adata.obsm["X_layout"][:, :2]
    return np.asarray(shapely.intersects_xy(area, *np.nan_to_num(layout, nan=1e9).T))


def shows(session: Session, name: str) -> bool:
    layer = session.scene.layer(name)
    return layer is not None and layer.visible


def test_what_is_circled_is_brought_out_on_the_tissue(
    qtbot: QtBot, view: EmbeddingView, session: Session, section: Section
) -> None:
    scene, spots = session.scene, session.scene.layer(SPOTS)
    scene.colour_by(View("obs", "region"))
    inside = circle(qtbot, view, (0.5, 0.5), 0.15)
    assert 20 < inside.sum() < section.n_spots / 2
    assert not inside[EMPTY]
    np.testing.assert_array_equal(session.highlight.spots, inside)
    layer = scene.layer(SELECTED)
    np.testing.assert_array_equal(layer.data[:, ::-1], section.positions[inside])
    np.testing.assert_allclose(layer.face_color, spots.face_color[inside])
    assert spots.opacity < 0.5
    assert f"{inside.sum():,} circled of {section.n_spots - 1:,} spots" in view.facts.text()
    # Another map: its spots fade, and those that are brought out have its colours.
    scene.colour_by(View("gene", str(section.adata.var_names[0])))
    np.testing.assert_allclose(scene.layer(SELECTED).face_color, spots.face_color[inside])
    qtbot.keyClick(view.canvas, Qt.Key.Key_Escape)
    assert session.highlight.spots is None
    assert not scene.layer(SELECTED).visible
    assert spots.opacity == 1.0
    assert not view.make.isEnabled()


def test_it_is_brought_out_while_the_hand_still_draws(
    qtbot: QtBot, view: EmbeddingView, session: Session
) -> None:
    inside = circle(qtbot, view, (0.5, 0.5), 0.2, release=False)
    qtbot.waitUntil(lambda: np.array_equal(session.highlight.spots, inside))
    assert session.scene.layer(SELECTED) is not None
    qtbot.mouseRelease(view.canvas, LEFT, pos=QPoint(1, 1))


def test_shift_adds_and_alt_takes_away(
    qtbot: QtBot, view: EmbeddingView, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [NONE]
    monkeypatch.setattr(
        "napari_smoother.widgets.embedding_view.QApplication.keyboardModifiers",
        lambda: held[0],
    )
    first = circle(qtbot, view, (0.45, 0.5), 0.1)
    held[0] = Qt.KeyboardModifier.ShiftModifier
    second = circle(qtbot, view, (0.55, 0.5), 0.1)
    assert (second & ~first).any()
    np.testing.assert_array_equal(session.highlight.spots, first | second)
    held[0] = Qt.KeyboardModifier.AltModifier
    third = circle(qtbot, view, (0.5, 0.5), 0.06)
    np.testing.assert_array_equal(session.highlight.spots, (first | second) & ~third)
    held[0] = NONE
    fourth = circle(qtbot, view, (0.5, 0.4), 0.1)
    np.testing.assert_array_equal(session.highlight.spots, fourth)


def test_enter_makes_a_region_that_undo_takes_back_and_a_session_keeps(
    qtbot: QtBot,
    view: EmbeddingView,
    session: Session,
    section: Section,
    settle: Callable[[Session], None],
) -> None:
    study = session.study
    inside = circle(qtbot, view, (0.5, 0.5), 0.15)
    qtbot.keyClick(view.canvas, Qt.Key.Key_Return)
    assert [region.name for region in study.regions.classes] == ["Region 1"]
    np.testing.assert_array_equal(study.region_labels == 0, inside)
    assert session.highlight.spots is None
    session.scene.show_stage(REGIONS)
    # Coloured by region, here as there.
    colour = (*study.regions.classes[0].colour, 1.0)
    np.testing.assert_allclose(session.scene.colours[inside], [colour] * inside.sum(), atol=0.01)
    shown = np.zeros((section.n_spots, 3))
    shown[view._spots] = view.canvas._colours[:, :3]
    np.testing.assert_allclose(shown[inside], [colour[:3]] * inside.sum(), atol=0.01)
    settle(session)
    with pytest.warns(UserWarning, match="region_smoother"):  # the section has regions of its own
        saved = annotate(findings_of(study))
    again = Study()
    again.open(replace(section, adata=saved.copy()))
    np.testing.assert_array_equal(again.region_labels == 0, inside)
    assert again.recipe.shown.scatter.of == LAYOUT
    study.undo()
    assert study.regions.classes == ()
    assert (study.region_labels == -1).all()
    study.redo()
    np.testing.assert_array_equal(study.region_labels == 0, inside)


def test_a_name_that_is_there_gets_the_spots_too(
    qtbot: QtBot, view: EmbeddingView, session: Session
) -> None:
    first = circle(qtbot, view, (0.4, 0.5), 0.1)
    view.name.setText("stroma")
    qtbot.mouseClick(view.make, LEFT)
    second = circle(qtbot, view, (0.6, 0.5), 0.1)
    view.name.setText("stroma")
    qtbot.keyClick(view.name, Qt.Key.Key_Return)
    assert [region.name for region in session.study.regions.classes] == ["stroma"]
    np.testing.assert_array_equal(session.study.region_labels == 0, first | second)
    assert view.name.placeholderText() == "Region 1"


def test_spots_without_numbers_are_left_out_and_said(view: EmbeddingView) -> None:
    assert EMPTY not in view._spots
    assert "1 without counts or numbers" in view.facts.text()


def test_points_have_the_colours_of_the_map(
    view: EmbeddingView, session: Session, section: Section
) -> None:
    for shown in (View("gene", str(section.adata.var_names[3])), View("obs", "region"), None):
        session.scene.colour_by(shown)
        colours = session.scene.colours
        np.testing.assert_allclose(view.canvas._colours, colours[view._spots])


def test_layers_that_are_deleted_do_not_come_back_for_their_colours(
    view: EmbeddingView, session: Session
) -> None:
    viewer = session.viewer
    assert viewer is not None
    assert session.scene.colours is not None
    viewer.layers.clear()
    assert not viewer.layers
    assert session.scene.colours is session.scene.view_extent is session.scene.painted is None


def test_axes_are_chosen_and_undone(
    view: EmbeddingView, session: Session, section: Section
) -> None:
    view.up.setCurrentIndex(2)
    view.up.activated.emit(2)
    assert session.scene.shown.scatter == ScatterShown(LAYOUT, 0, 2)
    assert view.canvas.axes == ("X_layout 1", "X_layout 3")
    layout = section.adata.obsm["X_layout"]
    np.testing.assert_array_equal(view.canvas._raster.points, layout[view._spots][:, [0, 2]])
    session.study.undo()
    assert view.canvas.axes == ("X_layout 1", "X_layout 2")


def test_spatial_components_are_found_when_they_are_to_be_plotted(
    view: EmbeddingView, session: Session, settle: Callable[[Session], None]
) -> None:
    analysis = session.reduction.analysis
    assert analysis.result is None
    row = view.source.findText("Spatial components")
    view.source.setCurrentIndex(row)
    view.source.activated.emit(row)
    assert "not there yet" in view.canvas.message
    settle(session)
    np.testing.assert_array_equal(
        view.canvas._raster.points, analysis.result.scores[view._spots][:, :2]
    )
    assert session.scene.stage == "data", "the map stays"


def test_wheel_and_drag_move_the_view_and_a_double_click_shows_all(
    qtbot: QtBot, view: EmbeddingView
) -> None:
    canvas, point = view.canvas, 17
    before = canvas.place_of(point)
    away = before.toPoint() + QPoint(40, 30)
    qtbot.mousePress(canvas, RIGHT, pos=before.toPoint())
    qtbot.mouseMove(canvas, away)
    qtbot.mouseRelease(canvas, RIGHT, pos=away)
    moved = canvas.place_of(point)
    assert (round(moved.x() - before.x()), round(moved.y() - before.y())) == (40, 30)
    assert view.highlight.spots is None
    qtbot.mouseDClick(canvas, LEFT, pos=away)
    assert (canvas.place_of(point) - before).manhattanLength() < 1e-6


def test_pointing_at_a_point_marks_its_spot_and_back(
    qtbot: QtBot, view: EmbeddingView, session: Session, section: Section, window: napari.Viewer
) -> None:
    canvas = view.canvas
    alone = int(np.argmax(canvas._raster.points[:, 0]))
    spot = int(view._spots[alone])
    qtbot.mouseMove(canvas, canvas.place_of(alone).toPoint())
    qtbot.waitUntil(lambda: shows(session, POINTED))
    (place,) = session.scene.layer(POINTED).data
    np.testing.assert_allclose(place[::-1], section.positions[spot])
    assert view.facts.text() == section.adata.obs_names[spot]
    corner = QPoint(canvas.width() - 2, 2)
    qtbot.mouseMove(canvas, corner)
    qtbot.waitUntil(lambda: not shows(session, POINTED))
    # From the tissue to the scatter.
    spots = session.scene.layer(SPOTS)
    world = spots.data_to_world(spots.data[spot])

    class Event:
        position = world

    for callback in window.mouse_move_callbacks:
        callback(window, Event())
    assert canvas._marked == alone
    Event.position = spots.data_to_world(spots.data[EMPTY])
    for callback in window.mouse_move_callbacks:
        callback(window, Event())
    assert canvas._marked == -1, "a spot that is not plotted"


def test_a_umap_is_laid_out_when_it_is_asked_for(
    qtbot: QtBot,
    view: EmbeddingView,
    session: Session,
    section: Section,
    settle: Callable[[Session], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def in_two(points: np.ndarray, **settings: Any) -> np.ndarray:
        return np.array(points[:, 1:], dtype=np.float64)

    monkeypatch.setattr(umap_layout, "lay_out", in_two)
    monkeypatch.setattr(neighbour_layout, "is_installed", lambda: True)
    assert not view.umap.isVisible()
    row = view.source.findText("UMAP")
    view.source.setCurrentIndex(row)
    view.source.activated.emit(row)
    assert view.umap.isVisible()
    row = view.umap.of.findText("X_layout")
    view.umap.of.setCurrentIndex(row)
    view.umap.of.activated.emit(row)
    view.umap.seed.setValue(3)
    assert session.study.recipe.umap.of == LAYOUT
    assert session.study.recipe.umap.seed == 3
    qtbot.mouseClick(view.umap.lay_out, LEFT)
    settle(session)
    assert "UMAP of X_layout" in view.umap.text.text()
    layout = section.adata.obsm["X_layout"]
    np.testing.assert_array_equal(view.canvas._raster.points, layout[view._spots][:, 1:])
    view.umap.seed.setValue(4)
    assert "press Lay out" in view.umap.text.text()
    session.study.undo()
    assert "UMAP of X_layout" in view.umap.text.text()


def test_without_umap_learn_the_extra_is_named_and_the_scatter_works(
    qtbot: QtBot, view: EmbeddingView, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_layout, "is_installed", lambda: False)
    row = view.source.findText("UMAP")
    view.source.setCurrentIndex(row)
    view.source.activated.emit(row)
    view.umap.list_sources()
    assert "napari-smoother[umap]" in view.umap.text.text()
    assert not view.umap.lay_out.isEnabled()
    session.study.undo()
    inside = circle(qtbot, view, (0.5, 0.5), 0.1)
    np.testing.assert_array_equal(session.highlight.spots, inside)


def test_the_reduce_page_opens_the_dock_once(
    qtbot: QtBot, window: napari.Viewer, dock: SmootherDock, session: Session, section: Section
) -> None:
    session.study.open(section)
    page = dock.turn_to(ReducePage)
    for _ in range(2):
        qtbot.mouseClick(page.scatter, LEFT)
    opened = [
        widget
        for widget in window.window.dock_widgets.values()
        if isinstance(widget, EmbeddingWidget)
    ]
    assert len(opened) == 1
    assert opened[0].isVisible()


def test_escape_in_the_canvas_lets_the_spots_go(
    qtbot: QtBot, view: EmbeddingView, session: Session, window: napari.Viewer
) -> None:
    circle(qtbot, view, (0.5, 0.5), 0.15)
    session.scene.resize_spots(2.0)
    layer = session.scene.layer(SELECTED)
    np.testing.assert_allclose(layer.size, session.scene.spot_diameter)
    canvas = window.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert session.highlight.spots is None
    assert not shows(session, SELECTED)


def test_another_section_begins_without_a_selection(
    qtbot: QtBot, view: EmbeddingView, session: Session, sample: Sample
) -> None:
    circle(qtbot, view, (0.5, 0.5), 0.15)
    session.study.open(sample.section)  # which has no such table
    assert session.highlight.spots is None
    assert not shows(session, SELECTED)
    assert session.scene.layer(SPOTS).opacity == 1.0
