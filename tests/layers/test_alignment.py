"""Spots lie on the tissue to the pixel, on an image whose axes differ."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Shapes
from scipy.sparse import csr_matrix

from napari_smoother.layers import region_shapes, tissue
from napari_smoother.layers.coordinates import (
    World,
    data_to_full_resolution,
    to_rows_and_columns,
    to_xy,
)
from napari_smoother.layers.scene import Scene
from napari_smoother.section import Section, SectionImage
from napari_smoother.study.study import Study

ROWS, COLUMNS, SCALE = 40, 90, 0.1
MARKED = (7, 65)  # row, column of the one white pixel


@pytest.fixture(params=[None, 0.5])
def section(request) -> Section:
    pixels = np.zeros((ROWS, COLUMNS, 3), dtype=np.uint8)
    pixels[MARKED] = 255
    # The spot on the marked pixel, and the corners, in full-resolution (x, y).
    positions = np.array([[650.0, 70.0], [0.0, 0.0], [890.0, 0.0], [0.0, 390.0], [890.0, 390.0]])
    adata = anndata.AnnData(csr_matrix(np.ones((5, 4), dtype=np.float32)))
    adata.obsm["spatial"] = positions
    return Section(
        "marked",
        adata,
        (SectionImage("hires", pixels, SCALE),),
        spot_diameter=40.0,
        micrometres_per_pixel=request.param,
    )


def test_spot_lies_over_its_pixel(section: Section) -> None:
    image = tissue.image_layer(section, section.images[0])
    spots = tissue.spot_layer(section, 40.0)
    world = spots.data_to_world(spots.data[0])
    row, column = np.round(image.world_to_data(world)).astype(int)
    assert (row, column) == MARKED
    assert image.data[row, column].tolist() == [255, 255, 255]
    assert image.units == spots.units


def test_last_spot_lies_in_the_last_row_and_column(section: Section) -> None:
    image = tissue.image_layer(section, section.images[0])
    spots = tissue.spot_layer(section, 40.0)
    np.testing.assert_allclose(
        image.world_to_data(spots.data_to_world(spots.data[4])), (ROWS - 1, COLUMNS - 1)
    )


def test_world_is_in_micrometres_where_the_scale_is_known(section: Section) -> None:
    spots = tissue.spot_layer(section, 40.0)
    known = section.micrometres_per_pixel is not None
    assert str(spots.units[0]) == ("micrometer" if known else "pixel")
    side = section.micrometres_per_pixel or 1.0
    np.testing.assert_allclose(spots.data_to_world(spots.data[4]), (390 * side, 890 * side))
    np.testing.assert_allclose(spots.size, 40.0)


def test_swap_is_its_own_inverse() -> None:
    points = np.random.default_rng(0).normal(size=(7, 2))
    np.testing.assert_array_equal(to_rows_and_columns(points), points[:, [1, 0]])
    np.testing.assert_array_equal(to_xy(to_rows_and_columns(points)), points)


def test_outline_drawn_over_a_moved_and_turned_layer(section: Section) -> None:
    world = World.of(section)
    layer = Shapes(ndim=2, scale=(2.0, 3.0), translate=(5.0, -7.0), rotate=30.0, units=world.units)
    points = np.array([[0.0, 0.0], [4.0, 1.0], [2.0, 9.0]])
    expected = np.array([layer.data_to_world(point) for point in points]) / world.pixel
    np.testing.assert_allclose(data_to_full_resolution(layer, world, points), expected)


def test_drawn_rectangle_and_ellipse_take_the_spots_within(section: Section) -> None:
    viewer, study = ViewerModel(), Study()
    scene = Scene(viewer, study)
    study.open(section)
    layer = scene.drawing.layer()
    region_shapes.draw_into(layer, "box", (1.0, 0.0, 0.0))
    layer.add_rectangles(np.array([[60.0, 600.0], [80.0, 700.0]]))  # (row, column)
    assert [region.name for region in study.regions.classes] == ["box"]
    np.testing.assert_array_equal(study.region_labels, [0, -1, -1, -1, -1])
    region_shapes.draw_into(layer, "round", (0.0, 1.0, 0.0))
    layer.add_ellipses(np.array([[390.0, 890.0], [30.0, 30.0]]))  # centre and radii
    np.testing.assert_array_equal(study.region_labels, [0, -1, -1, -1, 1])
    layer.selected_data = {0}
    layer.remove_selected()
    np.testing.assert_array_equal(study.region_labels, [-1, -1, -1, -1, 1])
    study.undo()
    np.testing.assert_array_equal(study.region_labels, [0, -1, -1, -1, 1])
    assert len(layer.data) == 2


def test_ellipse_outline_follows_the_ellipse() -> None:
    corners = np.array([[0.0, 0.0], [0.0, 8.0], [6.0, 8.0], [6.0, 0.0]])
    outline = region_shapes.ellipse_outline(corners)
    np.testing.assert_allclose(((outline - (3, 4)) ** 2 / (9, 16)).sum(axis=1), 1.0)


def test_lines_and_paths_are_no_regions(section: Section) -> None:
    viewer, study = ViewerModel(), Study()
    scene = Scene(viewer, study)
    study.open(section)
    layer = scene.drawing.layer()
    region_shapes.draw_into(layer, "line", (1.0, 0.0, 0.0))
    layer.add_lines(np.array([[0.0, 0.0], [390.0, 890.0]]))
    assert (study.region_labels == -1).all()
    assert not study.regions.shapes
