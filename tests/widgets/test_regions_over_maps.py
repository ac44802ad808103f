"""Regions drawn over a map that stays: brush, holes, locks, and tools that are put away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.layers.region_casing import CASING
from napari_smoother.layers.region_drawing import BRUSH, NO_TOOL
from napari_smoother.layers.region_shapes import REGIONS
from napari_smoother.layers.scene import COMPOSITION
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.study.study import Study
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

LEFT = Qt.MouseButton.LeftButton
ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture
def page(
    dock: SmootherDock, session: Session, sample: Sample, settle: Callable[[Session], None]
) -> RegionsPage:
    session.study.open(sample.section)
    settle(session)
    page = dock.turn_to(RegionsPage)
    assert isinstance(page, RegionsPage)
    return page


def drag(
    qtbot: QtBot,
    viewer: napari.Viewer,
    places: list[tuple[float, float]],
    keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Drag with the button held along places given as shares of the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    points = [QPoint(int(x * canvas.width()), int(y * canvas.height())) for x, y in places]
    qtbot.mouseMove(canvas, points[0])
    qtbot.wait(20)
    qtbot.mousePress(canvas, LEFT, keys, pos=points[0])
    for point in points[1:]:
        qtbot.mouseMove(canvas, point)
        qtbot.wait(20)
        meanwhile()
    qtbot.mouseRelease(canvas, LEFT, keys, pos=points[-1])
    qtbot.wait(30)


def line(start: tuple[float, float], end: tuple[float, float], n: int = 8):
    return [tuple(place) for place in np.linspace(start, end, n)]


def inside_outlines(study: Study) -> np.ndarray:
    """Spots within the outlines, counted by shapely from the corners alone."""
    inside = np.zeros(study.section.n_spots, dtype=bool)
    for shape in study.regions.shapes:
        area = shapely.make_valid(shapely.Polygon(shape.vertices, shape.holes))
        inside |= shapely.intersects_xy(area, *study.section.positions.T)
    return inside


def painted_layer(session: Session):
    return session.scene.layer(REGIONS)


def test_the_map_stays_while_a_region_is_drawn_and_follows_it(
    qtbot: QtBot,
    window: napari.Viewer,
    dock: SmootherDock,
    solved: Session,
    settle: Callable[[Session], None],
) -> None:
    scene, study = solved.scene, solved.study
    scene.show_type(study.composition.types[1])
    study.boundary_connectivity = 0.0
    settle(solved)
    layer = scene.layer(COMPOSITION)
    before, key = np.array(layer.face_color), scene.key
    page = dock.turn_to(RegionsPage)
    assert scene.stage == COMPOSITION
    qtbot.mouseClick(page.tools["Lasso"], LEFT)
    np.testing.assert_array_equal(layer.face_color, before)
    angles = np.linspace(0, 2 * np.pi, 24)
    drag(qtbot, window, [(0.5 + 0.1 * np.cos(a), 0.5 + 0.1 * np.sin(a)) for a in angles])
    assert study.region_sizes[0] == inside_outlines(study).sum() > 10
    settle(solved)
    assert scene.stage == COMPOSITION
    assert layer.visible
    assert scene.key.quantity == key.quantity
    assert (np.array(layer.face_color) != before).any()  # the borders are cut
    assert not page.coloured.isChecked()
    dock.turn_to(DataPage)
    assert scene.stage == "data"
    study.undo()  # back to the map that it was drawn on
    assert scene.stage == COMPOSITION
    assert not study.regions.shapes
    settle(solved)
    np.testing.assert_allclose(layer.face_color, before, atol=1e-5)


def test_spots_are_coloured_by_region_where_that_is_ticked(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Callable[[Session], None]
) -> None:
    page = dock.turn_to(RegionsPage)
    solved.scene.show_type(solved.study.composition.types[0])
    page.coloured.click()
    assert solved.scene.stage == "regions"
    page.coloured.click()
    assert solved.scene.stage == COMPOSITION
    page.coloured.click()
    solved.scene.show_type(solved.study.composition.types[1])
    assert not page.coloured.isChecked()


def test_the_tool_is_put_away_with_the_page_and_with_the_section(
    qtbot: QtBot,
    window: napari.Viewer,
    dock: SmootherDock,
    page: RegionsPage,
    session: Session,
    sample: Sample,
) -> None:
    drawing = session.scene.drawing
    for tool in ("Polygon", "Brush"):
        qtbot.mouseClick(page.tools[tool], LEFT)
        assert drawing.tool != NO_TOOL
        assert page.tools[tool].isChecked()
        assert window.layers.selection.active is painted_layer(session)
        dock.turn_to(DataPage)
        assert drawing.tool == NO_TOOL
        assert painted_layer(session).mode == NO_TOOL
        assert painted_layer(session).mouse_pan
        assert window.layers.selection.active is session.scene.layer("spots")
        dock.turn_to(RegionsPage)
        assert not page.tools[tool].isChecked()
    qtbot.mouseClick(page.tools["Ellipse"], LEFT)
    session.study.open(sample.section, beside=True)
    assert drawing.tool == NO_TOOL
    assert page.tools["Move map"].isChecked()
    assert window.layers.selection.active is session.scene.layer("spots")
    session.study.switch_to(0)
    assert window.layers.selection.active is session.scene.layer("spots")
    qtbot.mouseClick(page.tools["Lasso"], LEFT)
    qtbot.mouseClick(page.tools["Move map"], LEFT)
    assert drawing.tool == NO_TOOL
    assert window.layers.selection.active is session.scene.layer("spots")


def test_the_brush_paints_takes_away_and_counts_meanwhile(
    qtbot: QtBot, window: napari.Viewer, page: RegionsPage, session: Session
) -> None:
    study = session.study
    qtbot.mouseClick(page.tools["Brush"], LEFT)
    assert session.scene.drawing.tool == BRUSH
    page.drawing_tools.size.setValue(2 * page.drawing_tools.size.value())
    counted: list[int] = []

    def count() -> None:
        assert page.table.item(0, 2).text() == f"{inside_outlines(study).sum():,}"
        counted.append(int(study.region_sizes[0]))

    drag(qtbot, window, line((0.4, 0.5), (0.6, 0.5)), meanwhile=count)
    assert counted == sorted(counted)
    assert len(set(counted)) > 2
    (stroke,) = study.regions.shapes
    assert len(painted_layer(session).data) == 1
    diameter = page.drawing_tools.size.value()
    pixel = study.section.micrometres_per_pixel or 1.0
    width = np.ptp(stroke.vertices[:, 1])
    assert width == pytest.approx(diameter / pixel, rel=0.02)

    page.drawing_tools.size.setValue(diameter / 2)  # a hole fits in
    before = int(study.region_sizes[0])
    drag(qtbot, window, line((0.48, 0.5), (0.5, 0.5), 3), ALT)
    (holed,) = study.regions.shapes
    assert len(holed.holes) == 1
    assert len(painted_layer(session).data) == 2
    assert study.region_sizes[0] == inside_outlines(study).sum() < before
    casing = session.scene.layer(CASING)
    assert len(casing.data) == 2
    study.undo()
    study.undo()
    assert not study.regions.shapes
    assert len(painted_layer(session).data) == len(session.scene.layer(CASING).data) == 0
    study.redo()
    assert study.region_sizes[0] == before


def test_an_outline_is_moved_with_its_holes_while_numbers_follow(
    qtbot: QtBot,
    window: napari.Viewer,
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
) -> None:
    study = session.study
    middle = np.median(sample.section.positions, axis=0)
    extent = np.ptp(sample.section.positions, axis=0).max()
    area = shapely.Point(middle).buffer(0.2 * extent)
    ring = area.difference(shapely.Point(middle).buffer(0.05 * extent))
    regions = study.regions.with_class(RegionClass("ring", (0.0, 0.4, 0.7)))
    study.regions = regions.with_shapes([RegionShape.around("ring", ring, identity="q-1")])
    settle(session)
    before = study.regions
    qtbot.mouseClick(page.tools["Select"], LEFT)
    layer = painted_layer(session)
    canvas = window.window._qt_viewer.canvas.native
    world = (middle + np.array([0.12 * extent, 0]))[::-1] * layer.scale
    camera = window.scene.camera
    at = 0.5 + (world - camera.center[-2:])[::-1] * camera.zoom / [canvas.width(), canvas.height()]
    seen: list[int] = []

    def count() -> None:
        assert study.region_sizes[0] == inside_outlines(study).sum()
        seen.append(int(study.regions.shapes[0].vertices[0, 0] - middle[0]))

    places = [tuple(at), *line(tuple(at), (at[0] + 0.08, at[1] + 0.05))]
    drag(qtbot, window, places, meanwhile=count)
    assert len(set(seen)) > 3
    moved = study.regions.shapes[0]
    assert moved.identity == "q-1"
    shift = moved.vertices[0] - before.shapes[0].vertices[0]
    assert np.hypot(*shift) > 0.05 * extent
    both = moved.holes[0] - before.shapes[0].holes[0]
    np.testing.assert_allclose(both, np.tile(shift, (len(both), 1)), atol=0.01)
    settle(session)
    graph = study.graph
    labels = study.region_labels
    crossing = labels[graph.edges[:, 0]] != labels[graph.edges[:, 1]]
    np.testing.assert_array_equal(graph.crossing, crossing)
    study.undo()  # the whole drag
    assert study.regions == before


def test_what_is_drawn_may_take_away_or_assign_spots(
    qtbot: QtBot, window: napari.Viewer, page: RegionsPage, session: Session
) -> None:
    study = session.study
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.3, 0.3), (0.5, 0.5), (0.6, 0.6)])
    whole = int(study.region_sizes[0])
    page.drawing_tools.effect.setCurrentIndex(1)
    drag(qtbot, window, [(0.4, 0.4), (0.45, 0.45), (0.5, 0.5)])
    (shape,) = study.regions.shapes
    assert len(shape.holes) == 1
    assert study.region_sizes[0] == inside_outlines(study).sum() < whole
    assert len(painted_layer(session).data) == 2  # the outline and its hole, nothing else
    page.drawing_tools.effect.setCurrentIndex(2)
    qtbot.mouseClick(page.tools["Lasso"], LEFT)
    drag(qtbot, window, [(0.35, 0.35), (0.55, 0.35), (0.55, 0.55), (0.35, 0.55), (0.35, 0.36)])
    assert study.regions.shapes == (shape,)
    assert study.region_sizes[0] == whole
    drag(
        qtbot,
        window,
        [(0.2, 0.2), (0.7, 0.2), (0.7, 0.7), (0.2, 0.7), (0.2, 0.21)],
        ALT,
    )
    assert study.region_sizes[0] == 0
    assert len(painted_layer(session).data) == 2


def test_locked_and_hidden_regions(
    qtbot: QtBot,
    window: napari.Viewer,
    page: RegionsPage,
    session: Session,
    told: list[str],
) -> None:
    study = session.study
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.3, 0.3), (0.5, 0.5), (0.6, 0.6)])
    held = study.region_labels == 0
    page.table.item(0, 4).setCheckState(Qt.CheckState.Checked)
    assert study.regions.classes[0].locked
    assert len(painted_layer(session).data) == 0  # no tool reaches it
    assert len(session.scene.layer(CASING).data) == 2  # its line is here, on its rim
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.1, 0.1), (0.15, 0.15), (0.25, 0.25)])
    assert any("locked" in message for message in told)
    assert len(study.regions.shapes) == 1
    assert len(painted_layer(session).data) == 0
    page.add.click()
    drag(qtbot, window, [(0.45, 0.45), (0.5, 0.5), (0.7, 0.7)])
    np.testing.assert_array_equal(study.region_labels == 0, held)
    assert study.region_sizes[1] > 0
    page.table.item(1, 3).setCheckState(Qt.CheckState.Unchecked)
    assert len(painted_layer(session).data) == 0
    assert len(session.scene.layer(CASING).data) == 2
    assert study.region_sizes[1] > 0
    study.undo()
    assert len(painted_layer(session).data) == 1
    np.testing.assert_array_equal(study.region_labels == 0, held)


def test_outlines_are_merged(
    qtbot: QtBot, window: napari.Viewer, page: RegionsPage, session: Session, told: list[str]
) -> None:
    study = session.study
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.3, 0.3), (0.4, 0.4), (0.5, 0.5)])
    page.merge.click()
    assert any("has 1 outline" in message for message in told)
    drag(qtbot, window, [(0.4, 0.4), (0.5, 0.5), (0.6, 0.6)])
    labels = study.region_labels
    assert len(study.regions.shapes) == 2
    page.merge.click()
    assert len(study.regions.shapes) == len(painted_layer(session).data) == 1
    np.testing.assert_array_equal(study.region_labels, labels)


def test_a_half_drawn_polygon_does_no_harm(
    qtbot: QtBot, window: napari.Viewer, page: RegionsPage, session: Session
) -> None:
    study = session.study
    page.add.click()
    canvas = window.window._qt_viewer.canvas.native
    qtbot.mouseClick(page.tools["Polygon"], LEFT)
    for x in (0.4, 0.5):
        point = QPoint(int(x * canvas.width()), int(0.5 * canvas.height()))
        qtbot.mouseMove(canvas, point)
        qtbot.wait(20)
        qtbot.mouseClick(canvas, LEFT, pos=point)
    study.undo()  # of the class it would belong to
    assert not study.regions.classes
    qtbot.mouseClick(page.tools["Polygon"], LEFT)
    qtbot.mouseClick(canvas, LEFT, pos=QPoint(canvas.width() // 2, canvas.height() // 2))
    page.drawing.stop()
    assert not study.regions.shapes
    assert len(painted_layer(session).data) == 0
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.4, 0.4), (0.5, 0.5), (0.6, 0.6)])
    assert study.region_sizes.sum() == inside_outlines(study).sum() > 0


def test_the_table_is_worked_by_keys(qtbot: QtBot, page: RegionsPage, session: Session) -> None:
    study = session.study
    for _ in range(3):
        page.add.click()
    table = page.table
    table.setCurrentCell(0, 3)
    assert session.scene.drawing.region == "Region 1"
    QTest.keyClick(table, Qt.Key.Key_Space)
    assert not study.regions.classes[0].visible
    assert table.currentColumn() == 3  # stays where it was
    QTest.keyClick(table, Qt.Key.Key_Right)
    QTest.keyClick(table, Qt.Key.Key_Space)
    assert study.regions.classes[0].locked
    QTest.keyClick(table, Qt.Key.Key_Down)
    assert session.scene.drawing.region == "Region 2"
    QTest.keyClick(table, Qt.Key.Key_Delete)
    assert study.regions.names == ("Region 1", "Region 3")
    place = table.currentRow(), table.currentColumn()
    QTest.keyClick(table, Qt.Key.Key_Tab)
    assert (table.currentRow(), table.currentColumn()) == place
    assert not table.tabKeyNavigation()  # so that it leads out of the table
