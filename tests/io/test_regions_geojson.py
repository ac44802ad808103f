"""Regions as GeoJSON: what QuPath writes, round trips, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon

from napari_smoother.errors import InputError
from napari_smoother.io.regions_geojson import (
    NamedPolygon,
    read_regions_geojson,
    write_regions_geojson,
)

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]


def feature(coordinates=None, kind="Polygon", **properties):
    return {
        "type": "Feature",
        "id": "5f4b",
        "geometry": {"type": kind, "coordinates": coordinates or [SQUARE]},
        "properties": properties,
    }


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "regions.geojson"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


def test_annotation_of_qupath(saved):
    annotation = feature(
        objectType="annotation",
        classification={"name": "Tumor", "color": [200, 0, 17]},
        name="left lobe",
    )
    (region,) = read_regions_geojson(
        saved({"type": "FeatureCollection", "features": [annotation]})
    )
    assert region.name == "Tumor"
    assert region.colour == (200, 0, 17)
    assert region.geometry.equals(shapely.box(0, 0, 10, 10))


def test_x_stays_x(saved):
    wide = feature([[[0, 0], [30, 0], [30, 10], [0, 10], [0, 0]]])
    assert read_regions_geojson(saved(wide))[0].geometry.bounds == (0, 0, 30, 10)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda f: {"type": "FeatureCollection", "features": [f]},
        lambda f: [f],
        lambda f: f,
        lambda f: f["geometry"],
    ],
)
def test_collection_list_feature_or_geometry(saved, wrap):
    (region,) = read_regions_geojson(saved(wrap(feature())))
    assert region.geometry.area == 100


def test_hole_is_kept(saved):
    (region,) = read_regions_geojson(saved(feature([SQUARE, HOLE])))
    assert region.geometry.area == 96
    assert not region.geometry.contains(shapely.Point(3, 3))


def test_multipolygon_is_split(saved):
    far = [[x + 50, y] for x, y in SQUARE]
    parts = feature([[SQUARE, HOLE], [far]], "MultiPolygon", classification={"name": "White"})
    one, other = read_regions_geojson(saved(parts))
    assert (one.name, other.name) == ("White", "White")
    assert (one.geometry.area, other.geometry.area) == (96, 100)


def test_outline_that_crosses_itself_is_split(saved):
    bow = feature([[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]])
    parts = read_regions_geojson(saved(bow))
    assert len(parts) == 2
    assert all(part.geometry.is_valid for part in parts)
    assert sum(part.geometry.area for part in parts) == pytest.approx(50)


def test_heights_are_dropped(saved):
    (region,) = read_regions_geojson(saved(feature([[[x, y, 3.0] for x, y in SQUARE]])))
    assert not region.geometry.has_z


@pytest.mark.parametrize(
    ("properties", "name", "colour"),
    [
        ({}, "Unclassified", None),
        (None, "Unclassified", None),
        ({"name": "layer 4"}, "layer 4", None),
        ({"classification": {"name": "Tumor", "colorRGB": -3670016}}, "Tumor", (200, 0, 0)),
        ({"classification": "Stroma"}, "Stroma", None),
        ({"classification": {"names": ["Tumor", "CD8"]}}, "Tumor: CD8", None),
        ({"name": "a", "color": [1, 2, 3]}, "a", (1, 2, 3)),
        ({"classification": {"name": "b", "color": None}}, "b", None),
        ({"classification": None, "name": "c"}, "c", None),
    ],
)
def test_names_and_colours_of_other_versions(saved, properties, name, colour):
    content = feature()
    content["properties"] = properties
    (region,) = read_regions_geojson(saved(content))
    assert (region.name, region.colour) == (name, colour)


def test_written_file_is_what_qupath_reads(tmp_path):
    path = tmp_path / "a.geojson"
    write_regions_geojson([NamedPolygon("Tumör", (1, 2, 3), Polygon(SQUARE, [HOLE]))], path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    (written,) = content["features"]
    assert written["type"] == "Feature"
    assert written["properties"]["objectType"] == "annotation"
    assert written["properties"]["classification"] == {"name": "Tumör", "color": [1, 2, 3]}
    assert written["geometry"]["type"] == "Polygon"
    assert [len(ring) for ring in written["geometry"]["coordinates"]] == [5, 5]


coordinate = st.floats(-1e6, 1e6, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9, unique=True),
    name=st.text(min_size=1, max_size=9).filter(lambda text: text.isprintable()),
    colour=st.none() | st.tuples(*[st.integers(0, 255)] * 3),
)
def test_round_trip_keeps_every_digit(tmp_path_factory, points, name, colour):
    hull = shapely.MultiPoint(points).convex_hull
    if not (isinstance(hull, Polygon) and hull.is_valid and hull.area > 0):
        return
    path = tmp_path_factory.mktemp("round") / "a.geojson"
    write_regions_geojson([NamedPolygon(name, colour, hull)], path)
    (region,) = read_regions_geojson(path)
    assert (region.name, region.colour) == (name, colour)
    np.testing.assert_array_equal(
        shapely.get_coordinates(region.geometry), shapely.get_coordinates(hull)
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{truncated", "not GeoJSON"),
        ("", "not GeoJSON"),
        ("42", "no GeoJSON features"),
        ('{"type": "FeatureCollection"}', "no GeoJSON features"),
        ('{"type": "FeatureCollection", "features": [1]}', "no GeoJSON features"),
        ('{"type": "Topology"}', "no GeoJSON features"),
        ('{"type": "FeatureCollection", "features": []}', "holds no polygon"),
        (feature([1, 2], "Point"), "A Point is not an area"),
        (feature(SQUARE, "LineString"), "A LineString is not an area"),
        ({"type": "Feature", "geometry": None, "properties": {}}, "has no geometry"),
        (feature([[[0, 0], [1, 1]]]), "not well formed"),
        (feature([SQUARE[0]]), "not well formed"),
        (feature([[["a", "b"]] * 4]), "not well formed"),
        (feature([[[0, 0], [5, 0], [9, 0], [0, 0]]]), "encloses no area"),
        (feature([[[0, 0], [5, float("nan")], [9, 9], [0, 0]]]), "without finite coordinates"),
        (feature(classification={"name": "a", "color": "red"}), "is not [red, green, blue]"),
        (feature(classification={"name": "a", "color": [0, 0, 300]}), "is not [red, green, blue]"),
    ],
)
def test_what_is_no_region_is_refused(saved, content, says):
    path = saved(content)
    with pytest.raises(InputError) as caught:
        read_regions_geojson(path)
    assert says in caught.value.problem
    assert str(path) in caught.value.where
    assert caught.value.remedy


def test_refusal_numbers_the_feature(saved):
    with pytest.raises(InputError, match="feature 2"):
        read_regions_geojson(saved([feature(), feature([3, 4], "Point")]))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_regions_geojson(tmp_path / "none.geojson")
