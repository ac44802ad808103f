"""What a hand does to regions: every edit against areas and spots counted by other means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_smoother.analyses import region_edits
from napari_smoother.analyses.region_columns import class_names, texts_for_none
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.spots_within import SpotsWithin
from napari_smoother.errors import InputError

A, B = RegionClass("a", (1.0, 0.0, 0.0)), RegionClass("b", (0.0, 0.0, 1.0))
# Half a step beside the corners of the areas, so that no spot lies on an outline.
GRID = np.stack(np.meshgrid(np.arange(10) + 0.5, np.arange(10) + 0.5), axis=-1).reshape(-1, 2)
SPOTS = SpotsWithin(GRID)


def inside(area: shapely.Geometry) -> np.ndarray:
    return shapely.contains_xy(area, GRID[:, 0], GRID[:, 1])


def outline(region: str, area: shapely.Polygon, **known: str) -> RegionShape:
    return RegionShape.around(region, area, **known)


def total(regions: Regions, region: str) -> shapely.Geometry:
    return shapely.union_all([s.area() for s in regions.shapes if s.region == region])


@pytest.fixture
def regions() -> Regions:
    return Regions((A, B), (outline("a", shapely.box(0, 0, 6, 6), identity="7", title="mine"),))


def test_an_outline_with_a_hole_leaves_its_spots_out() -> None:
    ring = shapely.box(0, 0, 6, 6) - shapely.box(2, 2, 4, 4)
    shape = outline("a", ring)
    assert len(shape.holes) == 1
    assert shape.area().equals(ring)
    assert shape.contains(GRID).sum() == 32
    assert shape.scaled(2.0).area().equals(shapely.affinity.scale(ring, 2, 2, origin=(0, 0)))
    assert shape == outline("a", ring) != replace(shape, holes=())


def test_what_is_drawn_last_has_the_spots_also_those_assigned(regions: Regions) -> None:
    corner = inside(shapely.box(0, 0, 2, 2))
    held = region_edits.assigned(regions, "b", corner, SPOTS)
    assert (held.labels(SPOTS)[corner] == 1).all()
    again = region_edits.drawn(held, outline("a", shapely.box(0, 0, 1, 2)), SPOTS)
    labels = again.labels(SPOTS)
    assert (labels[inside(shapely.box(0, 0, 1, 2))] == 0).all()
    assert (labels[inside(shapely.box(1, 0, 2, 2))] == 1).all()


def test_the_brush_joins_what_it_touches_and_keeps_what_that_is_known_by(
    regions: Regions,
) -> None:
    far = outline("a", shapely.box(8, 8, 9, 9))
    other = outline("b", shapely.box(5, 0, 7, 2))
    before = regions.with_shapes([*regions.shapes, far, other])
    stroke = shapely.LineString([(5, 1), (9, 1)]).buffer(0.4)
    after = region_edits.painted(before, "a", stroke, SPOTS)
    assert after.shapes[:2] == (far, other)  # untouched, the same objects
    assert after.shapes[0] is far
    joined = after.shapes[2]
    assert (joined.identity, joined.title) == ("7", "mine")
    assert joined.area().symmetric_difference(shapely.box(0, 0, 6, 6) | stroke).area < 1e-9
    assert (after.labels(SPOTS)[inside(stroke)] == 0).all()


def test_what_is_taken_away_leaves_a_hole_and_no_spots_of_a_column(regions: Regions) -> None:
    hole = shapely.box(2, 2, 4, 4)
    imported = np.zeros(len(GRID), dtype=np.int32)  # all of them are in a
    before = replace(regions, imported=imported).with_spots("a", inside(hole))
    after = region_edits.subtracted(before, "a", hole, SPOTS)
    (shape,) = after.shapes
    assert len(shape.holes) == 1
    assert shape.identity == "7"
    assert total(after, "a").equals(shapely.box(0, 0, 6, 6) - hole)
    np.testing.assert_array_equal(after.labels(SPOTS) == -1, inside(hole))
    gone = region_edits.subtracted(after, "a", shapely.box(-1, -1, 11, 11), SPOTS)
    assert gone.shapes == ()
    assert (gone.labels(SPOTS) == -1).all()
    assert (before.imported == 0).all()


boxes = st.tuples(*[st.integers(0, 7)] * 2, *[st.integers(1, 3)] * 2).map(
    lambda box: shapely.box(box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), boxes), min_size=2, max_size=8))
def test_merging_moves_no_spot(drawn: list[tuple[str, shapely.Polygon]]) -> None:
    before = Regions((A, B), tuple(outline(name, box) for name, box in drawn))
    if sum(name == "a" for name, _ in drawn) < 2:
        with pytest.raises(InputError, match="outline"):
            region_edits.merged(before, "a")
        return
    after = region_edits.merged(before, "a")
    np.testing.assert_array_equal(after.labels(SPOTS), before.labels(SPOTS))
    own = [shape.area() for shape in after.shapes if shape.region == "a"]
    for place, area in enumerate(own):
        assert all(area.intersection(other).area < 1e-9 for other in own[:place])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["draw", "paint", "take", "spots"]), boxes),
        min_size=1,
        max_size=6,
    )
)
def test_a_locked_region_loses_and_wins_no_spot(edits: list[tuple[str, shapely.Polygon]]) -> None:
    locked = (A, replace(B, locked=True))
    imported = np.where(inside(shapely.box(7, 0, 10, 3)), 1, -1).astype(np.int32)
    regions = Regions(locked, (outline("b", shapely.box(3, 3, 6, 6)),), imported)
    held = regions.labels(SPOTS) == 1
    for edit, area in edits:
        if edit == "draw":
            regions = region_edits.drawn(regions, outline("a", area), SPOTS)
        elif edit == "paint":
            regions = region_edits.painted(regions, "a", area, SPOTS)
        elif edit == "take":
            regions = region_edits.subtracted(regions, "a", area, SPOTS)
        else:
            regions = region_edits.assigned(regions, "a", inside(area), SPOTS)
        np.testing.assert_array_equal(regions.labels(SPOTS) == 1, held)
        assert total(regions, "b").equals(shapely.box(3, 3, 6, 6))
        if edit in ("draw", "paint", "spots"):
            assert (regions.labels(SPOTS)[inside(area) & ~held] == 0).all()


def test_a_locked_region_is_not_drawn_into(regions: Regions) -> None:
    locked = regions.with_changed("a", locked=True)
    box = shapely.box(7, 7, 9, 9)
    for edit in (
        lambda: region_edits.drawn(locked, outline("a", box), SPOTS),
        lambda: region_edits.painted(locked, "a", box, SPOTS),
        lambda: region_edits.subtracted(locked, "a", box, SPOTS),
        lambda: region_edits.assigned(locked, "a", inside(box), SPOTS),
        lambda: region_edits.merged(locked, "a"),
    ):
        with pytest.raises(InputError, match="locked"):
            edit()


def test_a_moved_outline_has_the_spots_it_lies_on(regions: Regions) -> None:
    far = inside(shapely.box(8, 8, 10, 10))
    before = regions.with_spots("b", far)
    shape = regions.shapes[0]
    moved = replace(shape, vertices=shape.vertices + 4.0)
    after = region_edits.reshaped(before, [moved], SPOTS)
    np.testing.assert_array_equal(after.labels(SPOTS) == 0, inside(shapely.box(4, 4, 10, 10)))
    still = region_edits.reshaped(before, [shape], SPOTS)
    assert still == before


def test_copies_lie_where_they_lay(regions: Regions) -> None:
    imported = np.where(inside(shapely.box(0, 8, 10, 10)), 1, -1).astype(np.int32)
    before = replace(regions, imported=imported)
    # The other section has pixels half the size, every second spot, and some far away.
    there = np.concatenate([2 * GRID[::2], [[500.0, 500.0]]])
    after = region_edits.copied(before, 2.0, GRID, there)
    assert after.classes == before.classes
    assert after.shapes[0].area().equals(shapely.box(0, 0, 12, 12))
    np.testing.assert_array_equal(after.labels(there), [*before.labels(GRID)[::2], -1])


def test_spots_within_agree_with_shapely() -> None:
    random = np.random.default_rng(0)
    positions = random.normal(size=(2_000, 2))
    spots = SpotsWithin(positions)
    for _ in range(20):
        area = shapely.Point(random.normal(size=2)).buffer(random.uniform(0.1, 2))
        found = np.sort(spots.area(area))
        np.testing.assert_array_equal(
            found, np.flatnonzero(shapely.intersects_xy(area, *positions.T))
        )
    assert spots.area(shapely.Polygon()).size == 0
    shape = outline("a", shapely.box(-1, -1, 1, 1))
    assert spots.outline(shape) is spots.outline(shape)
    spots.forget_all_but([])
    np.testing.assert_array_equal(
        np.sort(spots.outline(shape)), np.flatnonzero(shape.contains(positions))
    )


def test_texts_that_are_no_class_are_counted() -> None:
    import pandas as pd

    column = pd.Series(["b", "NA", None, "nan", "NA ", "a", ""], name="layer")
    assert texts_for_none(column) == {"NA": 2, "nan": 1}
    assert class_names(column) == ["a", "b"]
    assert class_names(column.astype(pd.CategoricalDtype(["b", "a", "NA"]))) == ["b", "a"]
