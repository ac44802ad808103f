"""Regions as classes of spots: what is drawn, what a column says, what a hand assigns."""

from __future__ import annotations

import numpy as np
import pytest

from napari_smoother.analyses.plain import from_plain, to_plain
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.errors import InputError

A, B = RegionClass("a", (1.0, 0.0, 0.0)), RegionClass("b", (0.0, 0.0, 1.0))
POSITIONS = np.array([[float(place), 0.0] for place in range(6)])


def square(region: str, left: float, right: float) -> RegionShape:
    return RegionShape(region, np.array([(left, -1), (right, -1), (right, 1), (left, 1)], float))


def spots(*places: int) -> np.ndarray:
    chosen = np.zeros(len(POSITIONS), dtype=bool)
    chosen[list(places)] = True
    return chosen


@pytest.fixture
def regions() -> Regions:
    """The first two spots are in a by a column, the next two in b by an outline."""
    imported = np.array([0, 0, -1, 0, -1, -1], dtype=np.int32)
    return Regions((A, B), (square("b", 1.5, 3.5),), imported)


def test_assigned_spots_are_of_their_region_whatever_is_drawn(regions: Regions) -> None:
    assert regions.labels(POSITIONS).tolist() == [0, 0, 1, 1, -1, -1]
    assigned = regions.with_spots("a", spots(3, 5))
    assert assigned.labels(POSITIONS).tolist() == [0, 0, 1, 0, -1, 0]
    assert regions.labels(POSITIONS).tolist() == [0, 0, 1, 1, -1, -1]  # nothing is changed
    again = assigned.with_spots("b", spots(3)).with_spots(None, spots(0))
    assert again.labels(POSITIONS).tolist() == [-1, 0, 1, 1, -1, 0]
    assert again.with_spots("b", spots()) == again


def test_assigned_spots_follow_their_region(regions: Regions) -> None:
    assigned = regions.with_spots("b", spots(0)).with_spots("a", spots(3))
    renamed = assigned.with_renamed("a", "c")
    np.testing.assert_array_equal(renamed.labels(POSITIONS), assigned.labels(POSITIONS))
    # What was assigned to a region that is taken away is as it was drawn.
    without = assigned.without_class("a")
    assert without.labels(POSITIONS).tolist() == [0, -1, 0, 0, -1, -1]


def test_assigned_spots_come_back_from_plain_values(regions: Regions) -> None:
    assigned = regions.with_spots(None, spots(1))
    again = from_plain(Regions, to_plain(assigned))
    assert again == assigned != regions
    assert again.assigned is not None
    assert again.assigned.dtype == np.int32


@pytest.mark.parametrize("wrong", [[0, 3], [True] * 5, [[True] * 6]])
def test_spots_that_are_no_booleans_of_the_section_are_refused(
    regions: Regions, wrong: list
) -> None:
    with pytest.raises(InputError, match="6 booleans"):
        regions.with_spots("a", np.array(wrong))
    with pytest.raises(InputError, match="no region 'c'"):
        regions.with_spots("c", spots(1))
    with pytest.raises(InputError, match="assigned"):
        Regions((A,), imported=np.zeros(3, np.int32), assigned=np.zeros(4, np.int32))
