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
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).filter(
        lambda text: text.strip() != ""
    ),
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


POINT = {"type": "Point", "coordinates": [3, 4]}
LINE = {"type": "LineString", "coordinates": [[0, 0], [5, 5]]}


def read_with_remark(path):
    """Regions, and the one remark there has to be."""
    with pytest.warns(UserWarning, match="regions.geojson: ") as remarks:
        regions = read_regions_geojson(path)
    (remark,) = [str(each.message) for each in remarks]
    assert remark.startswith(str(path))
    return regions, remark


@pytest.mark.parametrize(
    ("strange", "named"),
    [
        (feature([3, 4], "Point"), "1 Point (feature 2)"),
        (feature([[3, 4]], "MultiPoint"), "1 MultiPoint (feature 2)"),
        (feature(SQUARE, "LineString"), "1 LineString (feature 2)"),
        (feature([SQUARE], "MultiLineString"), "1 MultiLineString (feature 2)"),
        (feature([SQUARE], "Circle"), "1 of an unknown kind (feature 2)"),
        (feature([SQUARE], ["Polygon"]), "1 of an unknown kind (feature 2)"),
        (
            {"geometry": {"type": "GeometryCollection", "geometries": [LINE, POINT]}},
            "1 LineString (feature 2), 1 Point (feature 2)",
        ),
        ({"geometry": {"type": "GeometryCollection"}}, "1 GeometryCollection (feature 2)"),
        ({"type": "Feature", "geometry": None}, "1 without a geometry (feature 2)"),
        ({"type": "Feature", "geometry": "Polygon"}, "1 without a geometry (feature 2)"),
        (1, "1 without a geometry (feature 2)"),
        (None, "1 without a geometry (feature 2)"),
        (feature([[[0, 0], [5, 0], [9, 0], [0, 0]]]), "1 Polygon that encloses nothing"),
        (feature([[[3, 3]] * 4]), "1 Polygon that encloses nothing"),
        (feature([[[0, 0], [1, 1]]]), "1 Polygon that is not well formed (feature 2)"),
        (feature(SQUARE), "1 Polygon that is not well formed"),
        (feature([[[SQUARE]]]), "1 Polygon that is not well formed"),
        (feature({"0": SQUARE}), "1 Polygon that is not well formed"),
        (feature(5), "1 Polygon that is not well formed"),
        (feature([[[x] for x, _ in SQUARE]]), "1 Polygon that is not well formed"),
        (feature([[["a", "b"]] * 4]), "1 Polygon that is not well formed"),
        (feature([[["0", "0"], ["9", "0"], ["9", "9"]]]), "1 Polygon that is not well formed"),
        (feature([[[0, 0], [5, float("nan")], [9, 9], [0, 0]]]), "1 Polygon that is not well"),
        (feature([[[0, 0], [5, float("inf")], [9, 9], [0, 0]]]), "1 Polygon that is not well"),
        (feature([[[0, 0], [1e308, 0], [9, -1e308], [0, 0]]]), "1 Polygon that is not well"),
        (feature([[[0, 0], [10**300, 0], [9, 9], [0, 0]]]), "1 Polygon that is not well"),
        (feature([SQUARE, [[2, 2], [None, 2], [4, 4], [2, 2]]]), "1 Polygon that is not well"),
        (feature([[SQUARE], 7], "MultiPolygon"), "1 Polygon that is not well formed (feature 2)"),
    ],
)
def test_a_strange_feature_is_left_out_and_named(saved, strange, named):
    content = {"type": "FeatureCollection", "features": [feature(name="a"), strange]}
    regions, remark = read_with_remark(saved(content))
    assert regions[0].name == "a"
    assert sum(region.geometry.area for region in regions) in (100, 200)  # 200: half is usable
    assert f"left out what is no area: {named}" in remark
    with pytest.raises(InputError, match="The file holds no area: ") as caught:
        read_regions_geojson(
            saved([LINE, feature([3, 4], "Point"), feature([1, 2], "Point"), None])
        )
    assert "1 LineString (feature 1), 2 Point (features 2, 3), 1 without" in caught.value.problem


def test_areas_in_a_collection_are_taken(saved):
    square, far = (
        {"type": "Polygon", "coordinates": [[[x + d, y] for x, y in SQUARE]]} for d in (0, 50)
    )
    inner = {"type": "GeometryCollection", "geometries": [far, POINT]}
    mixed = {"type": "GeometryCollection", "geometries": [square, LINE, inner]}
    annotation = {"type": "Feature", "geometry": mixed, "properties": {"name": "Stroma"}}
    regions, remark = read_with_remark(saved([annotation, feature(name="plain")]))
    assert [region.name for region in regions] == ["Stroma", "Stroma", "plain"]
    assert [region.geometry.bounds for region in regions] == [
        (0, 0, 10, 10),
        (50, 0, 60, 10),
        (0, 0, 10, 10),
    ]
    assert "left out what is no area: 1 LineString (feature 1), 1 Point (feature 1)." in remark


def test_many_that_are_left_out_are_counted_once(saved):
    features = [feature(), *[feature([3, 4], "Point")] * 500]
    regions, remark = read_with_remark(saved(features))
    assert len(regions) == 1
    assert "500 Point (features 2, 3, 4, …)" in remark


def test_holes_of_no_size_take_nothing_away(saved):
    (region,) = read_regions_geojson(saved(feature([SQUARE, [[2, 2], [4, 4], [2, 2]]])))
    assert region.geometry.area == 100


def test_plane_and_space_may_be_mixed(saved):
    ring = [[0, 0, 7], [10, 0], [10, 10, 7, 9], [0, 10], [0, 0]]
    (region,) = read_regions_geojson(saved(feature([ring])))
    assert region.geometry.equals(shapely.box(0, 0, 10, 10))


@pytest.mark.parametrize(
    ("colour", "read"),
    [
        ("#ff8000", (255, 128, 0)),
        (" #F80 ", (255, 136, 0)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("red", (255, 0, 0)),
        (-3670016, (200, 0, 0)),
        (0xFF0A0B0C, (10, 11, 12)),
        ([1, 2, 3, 255], (1, 2, 3)),
        ([1.0, 2.0, 3.0], (1, 2, 3)),
        ([1.0, 0.2, 0.4], (255, 51, 102)),
    ],
)
def test_colours_as_people_write_them(saved, colour, read):
    (region,) = read_regions_geojson(saved(feature(classification={"name": "a", "color": colour})))
    assert region.colour == read


@pytest.mark.parametrize(
    "colour",
    ["crimsonish", "", "rgb(999,0,0)", [0, 0, 300], [0, 0, -1], [1, 2], ["a", "b", "c"],
     [True] * 3, [None] * 3, {"r": 1}, True, 10**300, [[1, 2, 3]], float("nan"),
     [float("nan")] * 3],
)  # fmt: skip
def test_colours_that_cannot_be_read_are_replaced(saved, colour):
    regions, remark = read_with_remark(
        saved([feature(name="a"), feature(classification={"name": "b", "color": colour})])
    )
    assert [(region.name, region.colour) for region in regions] == [("a", None), ("b", None)]
    assert "chose other colours for those that cannot be read (feature 2)." in remark


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"name": 7}, "7"),
        ({"name": 2.5}, "2.5"),
        ({"name": None}, "Unclassified"),
        ({"name": ""}, "Unclassified"),
        ({"name": " \t"}, "Unclassified"),
        ({"name": True}, "Unclassified"),
        ({"name": {"a": 1}}, "Unclassified"),
        ({"name": ["a", None, "b"]}, "a: b"),
        ({"classification": None, "name": "c"}, "c"),
        ({"classification": "", "name": "c"}, "c"),
        ({"classification": ["c"], "name": "d"}, "d"),
        ({"classification": {"name": ""}, "name": "c"}, "c"),
        ("text", "Unclassified"),
        ({"name": "half \ud83d"}, "half \ufffd"),
    ],
)
def test_names_of_every_kind(saved, properties, name):
    content = feature()
    content["properties"] = properties
    assert read_regions_geojson(saved(content))[0].name == name


@pytest.mark.parametrize(
    "name",
    ["Tumor ", " Tumor", "Tumor", "T/NK", "/X", "..", "a.b", "<img src='x'>", "x" * 100_000,
     "a\0b", "Größe 数", "a\nb"],
)  # fmt: skip
def test_names_come_back_as_they_went(tmp_path, name):
    path = tmp_path / "a.geojson"
    write_regions_geojson([NamedPolygon(name, None, Polygon(SQUARE))], path)
    assert read_regions_geojson(path)[0].name == name


def test_outlines_drawn_on_a_picture_are_scaled(saved):
    (region,) = read_regions_geojson(saved(feature([SQUARE, HOLE])), scale=0.25)
    assert region.geometry.bounds == (0, 0, 40, 40)
    assert region.geometry.area == 96 * 16
    for scale in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="The scale is"):
            read_regions_geojson(saved(feature()), scale=scale)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{truncated", "not GeoJSON"),
        ("", "not GeoJSON"),
        ("[" * 100_000, "not GeoJSON"),
        ('{"type": "Polygon", "coordinates": [[[' + "9" * 5000 + ", 0]]]}", "not GeoJSON"),
        ("42", "no GeoJSON features"),
        ('{"type": "FeatureCollection"}', "no GeoJSON features"),
        ('{"type": "Topology"}', "no GeoJSON features"),
        ('{"type": ["FeatureCollection"]}', "no GeoJSON features"),
        ('{"type": "FeatureCollection", "features": []}', "holds no area"),
        ('{"type": "FeatureCollection", "features": [1]}', "holds no area: 1 without a geometry"),
        ('{"type": "FeatureCollection", "features": ' + "[" * 900 + "]" * 900 + "}", "no area"),
        ('{"type": "Polygon", "coordinates": ' + "[" * 900 + "]" * 900 + "}", "not well formed"),
        (feature([1, 2], "Point"), "holds no area: 1 Point (feature 1)"),
    ],
)
def test_what_holds_no_region_is_refused(saved, content, says):
    path = saved(content)
    with pytest.raises(InputError) as caught:
        read_regions_geojson(path)
    assert says in caught.value.problem
    assert str(path) in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_of_unicode(tmp_path, encoding):
    path = tmp_path / "regions.geojson"
    path.write_text(json.dumps(feature(name="Tumör"), ensure_ascii=False), encoding=encoding)
    assert read_regions_geojson(path)[0].name == "Tumör"


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "regions.geojson"
    path.write_bytes(bytes(range(128, 256)) * 4)
    with pytest.raises(InputError, match="not GeoJSON"):
        read_regions_geojson(path)


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        write_regions_geojson([], tmp_path / "none" / "a.geojson")
    with pytest.raises(InputError, match="name cannot be used"):
        write_regions_geojson([], tmp_path / ("a" * 300 + ".geojson"))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_regions_geojson(tmp_path / "none.geojson")
    with pytest.raises(InputError, match="no such file"):
        read_regions_geojson(tmp_path)


def annotation(identity: object, area: object, **properties: object) -> dict:
    return {
        "type": "Feature",
        "id": identity,
        "geometry": shapely.geometry.mapping(area),
        "properties": {"objectType": "annotation", **properties},
    }


def test_what_qupath_knows_of_its_annotations_goes_back(tmp_path) -> None:
    follicle = {"name": "Follicle", "color": [200, 0, 7]}
    two = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 3, 4, 4)])
    features = [
        annotation("5c1f-a", two, classification=follicle, name="the first"),
        annotation("5c1f-b", shapely.box(5, 5, 6, 6), classification=follicle, isLocked=True),
        annotation(7, shapely.box(7, 7, 8, 8), name="own name"),
        annotation(None, shapely.box(8, 8, 9, 9), isLocked="yes"),
    ]
    path = tmp_path / "annotations.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read_regions_geojson(path)
    assert [each.identity for each in found] == ["5c1f-a", "5c1f-a", "5c1f-b", "7", ""]
    assert [each.title for each in found] == ["the first", "the first", "", "", ""]
    assert [each.locked for each in found] == [False, False, True, False, False]
    assert [each.name for each in found] == ["Follicle"] * 3 + ["own name", "Unclassified"]

    written = tmp_path / "again.geojson"
    write_regions_geojson(found, written)
    again = json.loads(written.read_text())["features"]
    assert [each.get("id") for each in again] == ["5c1f-a", "5c1f-b", "7", None]
    assert shapely.geometry.shape(again[0]["geometry"]).equals(two)
    assert again[0]["properties"]["classification"] == follicle
    assert again[0]["properties"]["name"] == "the first"
    assert again[1]["properties"]["isLocked"] is True
    assert "isLocked" not in again[0]["properties"]
    reread = read_regions_geojson(written)
    for one, other in zip(found, reread, strict=True):
        assert (one.name, one.identity, one.title, one.locked, one.colour) == (
            other.name,
            other.identity,
            other.title,
            other.locked,
            other.colour,
        )
        assert one.geometry.equals(other.geometry)


def test_outlines_without_an_identity_stay_apart(tmp_path) -> None:
    areas = [shapely.box(0, 0, 1, 1), shapely.box(0, 0, 1, 1)]
    path = tmp_path / "two.geojson"
    write_regions_geojson([NamedPolygon("a", None, area) for area in areas], path)
    assert len(json.loads(path.read_text())["features"]) == 2
