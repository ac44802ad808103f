"""The Graph page: edges that are seen and leave again, numbers, neighbours, reach."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QMouseEvent

from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.errors import InputError
from napari_smoother.layers import edges
from napari_smoother.layers.coordinates import World
from napari_smoother.layers.neighbour_highlight import LINKS, WEIGHTS
from napari_smoother.layers.reach_ring import RINGS
from napari_smoother.layers.region_shapes import REGIONS
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.graph_page import POINT, GraphPage
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.fixture
def page(dock: SmootherDock, session: Session, sample: Sample, settle: Settle) -> GraphPage:
    session.study.open(sample.section)
    settle(session)
    return dock.turn_to(GraphPage)


@pytest.fixture
def find_reach(qtbot: QtBot, page: GraphPage, settle: Settle) -> Callable[[], None]:
    def wait() -> None:
        settle(page.session)
        qtbot.waitUntil(lambda: not page.reach.is_busy, timeout=60_000)

    return wait


def visible(page: GraphPage, name: str = edges.EDGES) -> bool:
    layer = page.scene.layer(name)
    return layer is not None and layer.visible


def point_at(viewer: napari.Viewer, page: GraphPage, xy: np.ndarray) -> None:
    """Move the mouse over a place of the section, as napari tells of it."""
    row, column = World.of(page.study.section).pixel * np.asarray(xy)[::-1]
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, SimpleNamespace(position=(row, column)))


def left_half(section) -> Regions:
    low, high = section.positions.min(axis=0) - 1, section.positions.max(axis=0) + 1
    middle = (low[0] + high[0]) / 2 + 0.3
    corners = np.array([low, (middle, low[1]), (middle, high[1]), (low[0], high[1])])
    return Regions((RegionClass("left", (1.0, 0.0, 0.0)),), (RegionShape("left", corners),))


def test_edges_lie_over_the_spots_and_leave_with_the_page(
    dock: SmootherDock, page: GraphPage, window: napari.Viewer
) -> None:
    steps = page.study.can_undo
    layers = list(window.layers)
    order = [layers.index(page.scene.layer(name)) for name in (SPOTS, edges.CASING, edges.EDGES)]
    assert order == sorted(order)
    assert window.layers.selection.active is page.scene.layer(SPOTS), "hovering tells of spots"
    dock.turn_to(DataPage)
    assert not visible(page)
    assert not visible(page, edges.CASING)
    dock.turn_to(DeconvolvePage)
    assert not visible(page)
    dock.turn_to(GraphPage)
    page.everywhere.click()
    dock.turn_to(DataPage)
    assert visible(page)
    page.study.undo()
    assert not visible(page)
    assert page.study.can_undo == steps, "pages are no steps"


def test_edges_can_be_taken_away(dock: SmootherDock, page: GraphPage) -> None:
    page.edges.click()
    assert not visible(page)
    dock.turn_to(DataPage)
    dock.turn_to(GraphPage)
    assert not visible(page), "the hand had taken them away"
    page.study.undo()
    assert visible(page)


def test_edges_leave_with_the_dock(
    dock: SmootherDock, page: GraphPage, window: napari.Viewer
) -> None:
    assert visible(page)
    dock.hide()
    assert not visible(page)
    assert not window.mouse_move_callbacks
    dock.show()
    assert visible(page)


def test_outlines_of_regions_stay_above_edges(
    dock: SmootherDock, page: GraphPage, window: napari.Viewer, settle: Settle
) -> None:
    page.study.boundary_connectivity = 0.25
    page.study.regions = left_half(page.study.section)
    settle(page.session)
    graph = page.study.graph
    places = [
        window.layers.index(page.scene.layer(name))
        for name in (edges.CASING, edges.EDGES, edges.CUT_EDGES, REGIONS)
    ]
    assert places == sorted(places)
    cut = page.scene.layer(edges.CUT_EDGES)
    assert len(cut.data) == graph.crossing.sum()
    casing = page.scene.layer(edges.CASING).edge_color
    assert casing[graph.crossing].mean() > casing[~graph.crossing].mean() + 0.4
    dock.turn_to(RegionsPage)
    assert visible(page, edges.CUT_EDGES), "where regions part"
    assert not visible(page), "the others would hide what is traced"


def test_weak_edges_are_as_visible_as_strong_ones(page: GraphPage, settle: Settle) -> None:
    """Lightness of the colour, whatever the weight, is far from black and from paper."""
    page.expression.setChecked(True)
    settle(page.session)
    graph = page.study.graph
    colours = np.asarray(page.scene.layer(edges.EDGES).edge_color)[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert luminance.min() > 0.25, "3 : 1 and more against black"
    kept = graph.edge_weights > 0
    assert luminance[kept].max() < 0.75
    assert colours[graph.edge_weights.argmax(), 2] > colours[graph.edge_weights.argmax(), 0]


def test_weakened_edges_are_counted(page: GraphPage, settle: Settle) -> None:
    page.expression.setChecked(True)
    page.histology.setChecked(True)
    page.study.regions = left_half(page.study.section)
    settle(page.session)
    graph = page.study.graph
    upper = np.triu(graph.weights.toarray())
    pairs = np.triu(graph.neighbourhood.weights.toarray()) > 0
    shares = upper[pairs]
    assert page.counts["Cut (weight 0)"].text() == f"{(shares == 0).sum():,}"
    assert page.counts["Below 0.05"].text() == f"{((shares > 0) & (shares < 0.05)).sum():,}"
    assert page.counts["Below 0.5"].text() == f"{((shares > 0) & (shares < 0.5)).sum():,}"
    expected = np.histogram(shares[shares > 0], 20, (0, 1))[0]
    np.testing.assert_array_equal(graph.weakening.counts, expected)


def test_histogram_tells_the_number_of_a_column(
    qtbot: QtBot, page: GraphPage, settle: Settle
) -> None:
    page.expression.setChecked(True)
    settle(page.session)
    histogram, found = page.weights, page.study.graph.weakening
    assert histogram.text_at(4.0) == f"{found.n_cut:,} edges are cut: weight 0"
    last = histogram.text_at(histogram.width() - 4.0)
    assert last == f"{found.counts[-1]:,} edges keep 0.95 to 1.00 of their weight"
    assert f"{found.n_halved:,} below 0.5" in histogram.accessibleDescription()
    picture = histogram.grab().toImage()
    column = next(x for x in range(histogram.width()) if "0.95" in histogram.text_at(x))
    background = picture.pixelColor(2, 2)
    rows = range(histogram.height() - 24)
    assert any(picture.pixelColor(column + 4, y) != background for y in rows)


def test_nothing_moves_when_the_graph_comes(
    dock: SmootherDock, session: Session, sample: Sample, settle: Settle
) -> None:
    session.study.open(sample.section)
    page = dock.turn_to(GraphPage)
    before = [page.rule.mapTo(page, page.rule.rect().topLeft()), page.weights.pos()]
    settle(session)
    page.scene.graph.highlight.point_at(3)
    after = [page.rule.mapTo(page, page.rule.rect().topLeft()), page.weights.pos()]
    assert before == after


def test_neighbours_of_the_spot_under_the_pointer(
    dock: SmootherDock, page: GraphPage, window: napari.Viewer, settle: Settle
) -> None:
    page.expression.setChecked(True)
    settle(page.session)
    section, graph = page.study.section, page.study.graph
    spot = section.n_spots // 2
    point_at(window, page, section.positions[spot] + 1.0)
    row = graph.weights[[spot]].toarray()[0]
    around = np.flatnonzero(graph.neighbourhood.weights[[spot]].toarray()[0])
    found = page.scene.graph.highlight.found
    assert found.spot == spot
    assert sorted(found.spots) == sorted(around)
    np.testing.assert_allclose(found.weights, row[found.spots])
    assert (np.diff(found.weights) <= 0).all()
    links = page.scene.layer(LINKS)
    ends = links.data[:, 0] + links.data[:, 1]
    np.testing.assert_allclose(ends, section.positions[found.spots][:, ::-1])
    assert str(section.adata.obs_names[spot]) in page.pointed.text()
    assert f"{found.weights[0]:.2g}" in page.pointed.text()
    assert page.scene.layer(edges.EDGES).opacity < 0.5, "others stand back"
    window.scene.camera.zoom *= 20
    point_at(window, page, section.positions[spot + 1])
    point_at(window, page, section.positions[spot])
    assert list(page.scene.layer(WEIGHTS).features["weight"]) == [
        f"{weight:.2g}" for weight in found.weights
    ]
    point_at(window, page, section.positions.max(axis=0) + 1e5)
    assert page.scene.graph.highlight.found is None
    assert not page.scene.layer(LINKS).visible
    assert page.pointed.text() == POINT
    point_at(window, page, section.positions[spot])
    dock.turn_to(DataPage)
    assert not page.scene.layer(LINKS).visible
    assert not page.scene.layer(WEIGHTS).visible
    point_at(window, page, section.positions[spot])
    assert page.scene.graph.highlight.found is None, "the pointer is left alone on other pages"


def test_a_spot_stays_pointed_at_while_the_graph_changes(
    page: GraphPage, window: napari.Viewer, settle: Settle
) -> None:
    spot = page.study.section.n_spots // 2
    point_at(window, page, page.study.section.positions[spot])
    before = len(page.scene.graph.highlight.found.spots)
    page.mutual.setChecked(False)
    page.neighbours.setValue(18)
    settle(page.session)
    assert page.scene.graph.highlight.found.spot == spot
    assert len(page.scene.graph.highlight.found.spots) > before


def test_of_too_many_edges_those_in_view_are_drawn(
    page: GraphPage,
    window: napari.Viewer,
    monkeypatch: pytest.MonkeyPatch,
    settle: Settle,
) -> None:
    monkeypatch.setattr(edges, "MOST_IN_VIEW", 120)
    page.neighbours.setValue(5)
    settle(page.session)
    graph, section = page.study.graph, page.study.section
    assert not len(page.scene.layer(edges.EDGES).data)
    assert "too many" in page.remark.text()
    camera = window.scene.camera
    pixel = World.of(section).pixel
    camera.center = tuple(section.positions[section.n_spots // 2][::-1] * pixel)
    camera.zoom *= 12
    drawn = page.scene.layer(edges.EDGES).data
    assert 0 < len(drawn) <= 120
    assert page.remark.text() == ""
    half = np.asarray(window.canvas.size) / (2 * camera.zoom * pixel)
    centre = np.asarray(camera.center[-2:]) / pixel
    spots = section.positions[:, ::-1]
    inside = (np.abs(spots - centre) <= half).all(axis=1)
    wanted = inside[graph.edges].any(axis=1)
    assert wanted.sum() <= len(drawn)
    there = {tuple(line) for line in np.rint(np.hstack([drawn[:, 0], drawn.sum(axis=1)]))}
    assert {tuple(line) for line in np.rint(spots[graph.edges[wanted]].reshape(-1, 4))} <= there
    camera.center = tuple(section.positions.min(axis=0)[::-1] * pixel)
    moved = page.scene.layer(edges.EDGES).data
    assert not np.array_equal(moved, drawn)
    camera.zoom /= 12
    assert not len(page.scene.layer(edges.EDGES).data)


def test_many_spots_alone_are_told(page: GraphPage, settle: Settle) -> None:
    assert not page.remark.text()
    page.rule.setCurrentIndex(1)
    page.radius.setValue(0.02)
    settle(page.session)
    assert "no neighbour" in page.remark.text()
    assert "100%" in page.remark.text()
    page.form["radius"].automatic.click()
    settle(page.session)
    assert not page.remark.text()


def test_similarity_in_a_table_with_its_metric_and_width(
    page: GraphPage, sample: Sample, settle: Settle
) -> None:
    adata = sample.section.adata.copy()
    rng = np.random.default_rng(0)
    adata.obsm["X_made"] = rng.normal(size=(adata.n_obs, 3))
    adata.obsm["names"] = np.array([["a", "b"]] * adata.n_obs)
    page.study.open(replace(sample.section, adata=adata))
    settle(page.session)
    table = page.form["expression_table"]
    assert [table.itemData(row) for row in range(table.count())].count("X_made") == 1
    assert table.findData("names") < 0
    assert not table.isVisibleTo(page)
    page.expression.setChecked(True)
    assert table.isVisibleTo(page)
    table.setCurrentIndex(table.findData("X_made"))
    assert not page.components.isVisibleTo(page)
    assert not page.form["expression_width"].isVisibleTo(page)
    metric = page.form["expression_metric"]
    metric.setCurrentIndex(metric.findData("euclidean"))
    page.form["expression_width"].setValue(0.25)
    settle(page.session)
    graph = page.study.graph
    values = adata.obsm["X_made"] / np.abs(adata.obsm["X_made"]).max()
    gap = ((values[graph.edges[:, 0]] - values[graph.edges[:, 1]]) ** 2).sum(axis=1)
    np.testing.assert_allclose(graph.edge_weights, np.exp(-gap / (2 * 0.25**2)))


def test_window_and_pixels_of_histology(page: GraphPage, settle: Settle) -> None:
    page.histology.setChecked(True)
    settle(page.session)
    mean = page.study.graph.edge_weights
    compared = page.form["histology_features"]
    compared.setCurrentIndex(compared.findData("components"))
    page.form["histology_components"].setValue(3)
    settle(page.session)
    components = page.study.graph.edge_weights
    assert not np.allclose(mean, components)
    section = page.study.section
    diameter = section.spot_diameter * section.micrometres_per_pixel
    assert page.form["histology_window"].number.value() == pytest.approx(diameter)
    page.form["histology_window"].number.setValue(3 * diameter)
    settle(page.session)
    assert page.study.graph_settings.histology_window == 3 * diameter
    assert not np.allclose(components, page.study.graph.edge_weights)


def test_a_table_that_is_not_there_is_told(page: GraphPage, told: list[str], settle: Settle):
    page.study.graph_settings = replace(
        page.study.graph_settings, by_expression=True, expression_table="X_gone"
    )
    settle(page.session)
    assert any('no table of numbers "X_gone"' in message for message in told)


# Reach


def test_reach_follows_rho_and_process_on_the_page_alone(
    dock: SmootherDock, page: GraphPage, find_reach: Callable[[], None]
) -> None:
    find_reach()
    near = page.reach.reach
    assert near.process == "icar"
    assert near.rho == page.study.deconvolution.rho
    assert "Correlation falls to 0.5" in page.reach.text.text()
    assert "µm" in page.reach.text.text()
    page.reach.process_rows.rho.field.setValue(0.5)
    find_reach()
    assert page.reach.reach.tenth < near.tenth
    page.reach.process_rows.rho.field.setValue(1.0)
    find_reach()
    assert not page.reach.reach.is_proper
    assert "without limit" in page.reach.text.text()
    page.reach.process_rows.process.setCurrentText("ISAR")
    find_reach()
    assert page.reach.reach.process == "isar"
    last = page.reach.reach
    dock.turn_to(DataPage)
    page.study.deconvolution = replace(page.study.deconvolution, rho=0.3)
    find_reach()
    assert page.reach.reach is last, "nobody looks at it"
    dock.turn_to(GraphPage)
    find_reach()
    assert page.reach.reach.rho == 0.3


def test_reach_of_a_prior_that_is_not_there(
    page: GraphPage, find_reach: Callable[[], None]
) -> None:
    find_reach()
    page.study.deconvolution = replace(page.study.deconvolution, process="car", rho=0.9)
    find_reach()
    assert page.reach.reach is None
    assert "valid below" in page.reach.text.text()


def test_curve_tells_its_values(
    qtbot: QtBot, page: GraphPage, find_reach: Callable[[], None]
) -> None:
    find_reach()
    reach, curve = page.reach.reach, page.reach.curve
    text = curve.text_at(curve.width() / 2)
    value = min(
        range(len(reach.distances)),
        key=lambda at: abs(reach.distances[at] - float(text.split(" ")[0].replace(",", ""))),
    )
    assert f"correlation {reach.mean[value]:.2g}" in text
    place = QPointF(curve.width() / 2, 20)
    curve.mouseMoveEvent(
        QMouseEvent(
            QMouseEvent.Type.MouseMove,
            place,
            curve.mapToGlobal(place),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )
    for rho in (1.0, 0.99):
        page.reach.process_rows.rho.field.setValue(rho)
        find_reach()
        assert curve.grab().toImage().pixelColor(41, 8).isValid()


def test_rings_are_as_large_as_the_reach(
    dock: SmootherDock,
    page: GraphPage,
    window: napari.Viewer,
    find_reach: Callable[[], None],
) -> None:
    find_reach()
    assert page.scene.layer(RINGS) is None
    page.reach.ring.click()
    section, reach = page.study.section, page.reach.reach
    spot = section.n_spots // 3
    point_at(window, page, section.positions[spot])
    starts = page.scene.layer(RINGS).data[:, 0]
    far = np.linalg.norm(starts - section.positions[spot][::-1], axis=1)
    radii = np.unique(np.round(far * section.micrometres_per_pixel, 4))
    np.testing.assert_allclose(radii, [reach.half, reach.tenth], rtol=1e-4)
    page.scene.layer(RINGS).visible = False
    page.scene.resize_spots(1.5)
    assert not page.scene.layer(RINGS).visible, "a hand has hidden it"
    page.study.undo()
    page.scene.layer(RINGS).visible = True
    page.reach.process_rows.rho.field.setValue(1.0)
    find_reach()
    assert not len(page.scene.layer(RINGS).data), "it reaches without limit"
    dock.turn_to(DataPage)
    assert not page.scene.layer(RINGS).visible
    page.study.undo()
    page.study.undo()
    assert not page.study.recipe.shown.reach
    dock.turn_to(GraphPage)
    assert not page.reach.ring.isChecked()


def test_similarity_of_an_unknown_kind_is_refused() -> None:
    from napari_smoother.analyses.graph_settings import GraphSettings

    for wrong in (
        {"expression_metric": "manhattan"},
        {"histology_features": "texture"},
        {"histology_width": 0.0},
        {"expression_width": float("nan")},
        {"histology_window": -1.0},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            GraphSettings(**wrong)
