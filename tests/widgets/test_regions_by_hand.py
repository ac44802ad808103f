"""Regions: every tool of the hand, columns, GeoJSON, and outlines that hold nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt

from napari_smoother.analyses.regions import RegionShape
from napari_smoother.io.regions_geojson import (
    NamedPolygon,
    read_regions_geojson,
    write_regions_geojson,
)
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.section import SectionImage
from napari_smoother.widgets import region_files
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def page(
    dock: SmootherDock,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
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
    meanwhile: Callable[[], None] | None = None,
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
        if meanwhile is not None:
            meanwhile()
    qtbot.mouseRelease(canvas, LEFT, keys, pos=points[-1])
    qtbot.wait(30)


def circle(centre: tuple[float, float], radius: float, count: int = 24):
    angles = np.linspace(0, 2 * np.pi, count)
    return [(centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)) for a in angles]


@pytest.mark.parametrize(
    ("tool", "places"),
    [
        ("Rectangle", [(0.4, 0.4), (0.5, 0.5), (0.6, 0.6)]),
        ("Ellipse", [(0.4, 0.4), (0.5, 0.5), (0.6, 0.6)]),
        ("Lasso", circle((0.5, 0.5), 0.1)),
    ],
)
def test_each_tool_makes_a_region(
    qtbot: QtBot,
    window: napari.Viewer,
    page: RegionsPage,
    session: Session,
    sample: Sample,
    tool: str,
    places: list[tuple[float, float]],
) -> None:
    qtbot.mouseClick(page.tools[tool], LEFT)
    drag(qtbot, window, places)
    study = session.study
    (shape,) = study.regions.shapes
    inside = shapely.intersects_xy(
        shapely.make_valid(shapely.Polygon(shape.vertices)), *sample.section.positions.T
    )
    assert inside.sum() > 10
    np.testing.assert_array_equal(study.region_labels == 0, inside)


def test_second_region_takes_the_spots_it_is_drawn_over(
    qtbot: QtBot, window: napari.Viewer, page: RegionsPage, session: Session
) -> None:
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.35, 0.35), (0.5, 0.5), (0.6, 0.6)])
    whole = int(session.study.region_sizes[0])
    page.add.click()
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.45, 0.45), (0.5, 0.5), (0.65, 0.65)])
    first, second = session.study.region_sizes
    assert second > 0
    assert 0 < first < whole
    assert [shape.region for shape in session.study.regions.shapes] == ["Region 1", "Region 2"]
    page.table.item(1, 1).setText("stroma")
    assert [region.name for region in session.study.regions.classes] == ["Region 1", "stroma"]
    assert session.study.region_sizes.tolist() == [first, second]
    page.table.item(1, 1).setText("Region 1")  # taken: refused, and the old name stays
    assert page.table.item(1, 1).text() == "stroma"


def test_outline_around_nothing_is_told(
    qtbot: QtBot,
    window: napari.Viewer,
    page: RegionsPage,
    session: Session,
    told: list[str],
) -> None:
    qtbot.mouseClick(page.tools["Rectangle"], LEFT)
    drag(qtbot, window, [(0.01, 0.01), (0.015, 0.015), (0.02, 0.02)])
    assert len(session.study.regions.shapes) == 1
    assert any("contains no spot" in message for message in told)
    page.undo.click()
    assert not session.study.regions.shapes


def test_classes_of_a_column_become_regions(
    page: RegionsPage, session: Session, sample: Sample, settle: Callable[[Session], None]
) -> None:
    page.column.setCurrentText("region")
    page.column.activated.emit(page.column.currentIndex())
    settle(session)
    study = session.study
    names = [region.name for region in study.regions.classes]
    truth = sample.section.adata.obs["region"].astype(str).to_numpy()
    assert sorted(names) == sorted(set(truth))
    np.testing.assert_array_equal(np.array(names)[study.region_labels], truth)
    graph = study.graph
    assert graph is not None
    differs = truth[graph.edges[:, 0]] != truth[graph.edges[:, 1]]
    assert graph.summary.n_cut == differs.sum() > 0
    colours = session.scene.layer(SPOTS).face_color
    for name in names:
        assert len(np.unique(colours[truth == name], axis=0)) == 1


def test_geojson_comes_in_and_goes_out(
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
    tmp_path: Path,
) -> None:
    positions = sample.section.positions
    middle = np.median(positions, axis=0)
    ring = shapely.Point(middle).buffer(900).difference(shapely.Point(middle).buffer(400))
    write_regions_geojson([NamedPolygon("ring", (10, 200, 30), ring)], tmp_path / "in.geojson")
    region_files.import_regions(session, tmp_path / "in.geojson")
    settle(session)
    distance = np.hypot(*(positions - middle).T)
    inside = shapely.intersects_xy(ring, *positions.T)
    assert inside.sum() > 5
    assert (distance[inside] > 390).all()
    np.testing.assert_array_equal(session.study.region_labels == 0, inside)
    assert session.study.regions.classes[0].colour == pytest.approx(
        (10 / 255, 200 / 255, 30 / 255)
    )
    region_files.export_regions(session, tmp_path / "out.geojson")
    settle(session)
    (written,) = read_regions_geojson(tmp_path / "out.geojson")
    assert written.name == "ring"
    assert written.colour == (10, 200, 30)
    assert written.geometry.symmetric_difference(ring).area < 1e-6 * ring.area


def test_names_with_blanks_and_markup_come_in_and_go_out(
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
    told: list[str],
    tmp_path: Path,
) -> None:
    names = ["Tumor ", "Tumor", "T/NK", "<img src='x'>"]
    middle = np.median(sample.section.positions, axis=0)
    areas = [shapely.Point(middle).buffer(900 - 200 * at) for at in range(4)]
    drawn = [NamedPolygon(name, None, area) for name, area in zip(names, areas, strict=True)]
    write_regions_geojson(drawn, tmp_path / "in.geojson")
    region_files.import_regions(session, tmp_path / "in.geojson")
    settle(session)
    study = session.study
    assert [region.name for region in study.regions.classes] == names
    assert [page.table.item(row, 1).text() for row in range(4)] == names
    assert (study.region_sizes > 0).all()
    assert told == []
    region_files.export_regions(session, tmp_path / "out.geojson")
    settle(session)
    assert [each.name for each in read_regions_geojson(tmp_path / "out.geojson")] == names
    page.table.item(1, 1).setText("Tumor ")  # taken
    assert page.table.item(1, 1).text() == "Tumor"
    assert any("already" in message for message in told)


def test_outlines_drawn_on_the_hires_picture_are_asked_about(
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
    told: list[str],
    tmp_path: Path,
) -> None:
    section = sample.section
    scale = 0.05
    pixels = np.zeros((*np.ceil(scale * section.positions.max(axis=0)[::-1]).astype(int), 3))
    picture = SectionImage("hires", pixels.astype(np.uint8), scale)
    session.study.open(replace(section, images=(picture,)))
    settle(session)
    assert not page.picture.isVisible()
    middle = np.median(section.positions, axis=0)
    ring = shapely.Point(middle).buffer(900)
    inside = int(shapely.intersects_xy(ring, *section.positions.T).sum())
    on_picture = shapely.transform(ring, lambda corners: scale * corners)
    write_regions_geojson([NamedPolygon("a", None, on_picture)], tmp_path / "in.geojson")
    region_files.import_regions(session, tmp_path / "in.geojson")
    settle(session)
    (message,) = told
    assert f"{inside} if they were drawn on the hires picture" in message
    assert page.picture.isVisible()
    assert f"hires picture ({inside} spots)" in page.picture.text.text()
    page.picture.scale["hires"].click()
    settle(session)
    assert session.study.region_sizes.tolist() == [inside]
    assert not page.picture.isVisible()
    page.undo.click()
    assert not session.study.regions.shapes


def test_outlines_of_elsewhere_are_told(
    page: RegionsPage,
    session: Session,
    settle: Callable[[Session], None],
    told: list[str],
    tmp_path: Path,
) -> None:
    far = shapely.box(1e6, 1e6, 2e6, 2e6)
    write_regions_geojson([NamedPolygon("far", None, far)], tmp_path / "in.geojson")
    region_files.import_regions(session, tmp_path / "in.geojson")
    settle(session)
    assert any("No spot lies in the outlines of in.geojson" in message for message in told)
    assert len(session.study.regions.shapes) == 1


def test_regions_without_outlines_are_told_on_export(
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
    told: list[str],
    tmp_path: Path,
) -> None:
    page.column.setCurrentText("region")
    page.column.activated.emit(page.column.currentIndex())
    first, *others = [region.name for region in session.study.regions.classes]
    middle = np.median(sample.section.positions, axis=0)
    outline = RegionShape.around(first, shapely.Point(middle).buffer(900))
    session.study.regions = session.study.regions.with_shapes([outline])
    settle(session)
    region_files.export_regions(session, tmp_path / "out.geojson")
    settle(session)
    assert [each.name for each in read_regions_geojson(tmp_path / "out.geojson")] == [first]
    (message,) = [message for message in told if "written without" in message]
    assert ", ".join(others[:3]) in message


def test_outline_of_a_polygon_with_holes_keeps_them_open() -> None:
    square = shapely.box(0, 0, 10, 10)
    holed = square.difference(shapely.box(2, 2, 4, 4)).difference(shapely.box(6, 6, 8, 8))
    shape = RegionShape.around("holed", holed)
    assert shape.area().symmetric_difference(holed).area < 1e-9
    inside = shape.contains(
        np.array([[1.0, 1.0], [3.0, 3.0], [7.0, 7.0], [5.0, 5.0], [11.0, 1.0]])
    )
    assert inside.tolist() == [True, False, False, True, False]
