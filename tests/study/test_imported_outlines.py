"""Outlines from files: spots they hold, and the pictures they look drawn on."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pytest
from scipy import sparse

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.section import Section, SectionImage
from napari_smoother.study.imported_outlines import (
    DrawnOn,
    ImportedOutlines,
    pictures_drawn_on,
    spots_within,
)
from napari_smoother.study.study import Study

HIRES, LOWRES = 0.1, 0.03


@pytest.fixture
def section() -> Section:
    """A grid of 20 x 20 spots, 100 pixels apart, from 5,000 on, with two pictures."""
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2)
    adata = anndata.AnnData(sparse.csr_matrix(np.ones((400, 3), dtype=np.float32)))
    adata.obsm["spatial"] = 5000.0 + 100 * grid
    pictures = tuple(
        SectionImage(
            name, np.zeros((round(9000 * scale), round(8000 * scale), 3), np.uint8), scale
        )
        for name, scale in (("hires", HIRES), ("lowres", LOWRES))
    )
    return Section("grid", adata, images=pictures)


def square(x: float, y: float, side: float, region: str = "Tumor ") -> RegionShape:
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return RegionShape(region, np.array([x, y]) + side * corners)


def shrunk(shape: RegionShape, scale: float) -> RegionShape:
    return RegionShape(shape.region, shape.vertices * scale)


INSIDE = square(5950, 5950, 400)  # rows and columns 10 to 13


def test_spots_are_counted_in_each_and_in_any(section: Section) -> None:
    shapes = [INSIDE, square(5950, 5950, 200), square(0, 0, 100)]
    sizes, n_spots = spots_within(shapes, section.positions)
    assert sizes.tolist() == [16, 4, 0]
    assert n_spots == 16
    assert spots_within([square(5000, 5000, 100)], section.positions)[1] == 4  # rims count


def test_outlines_of_the_hires_picture_are_recognised(section: Section) -> None:
    drawn = [shrunk(INSIDE, HIRES)]
    assert pictures_drawn_on(drawn, section) == (DrawnOn("hires", HIRES, 16),)
    assert pictures_drawn_on([INSIDE], section) == ()


def test_outlines_of_the_lowres_picture_are_recognised(section: Section) -> None:
    drawn = [shrunk(INSIDE, LOWRES)]
    assert pictures_drawn_on(drawn, section) == (DrawnOn("lowres", LOWRES, 16),)


def test_both_pictures_are_offered_where_both_fit(section: Section) -> None:
    wide = shrunk(square(4900, 4900, 2200), HIRES)  # 490 to 710, where hires is 800 x 900
    small = replace(section, images=section.images[:1])
    assert [each.picture for each in pictures_drawn_on([wide], small)] == ["hires"]
    near = square(20, 20, 34)
    adata = section.adata.copy()
    adata.obsm["spatial"] = np.asarray(adata.obsm["spatial"]) - 5000
    both = pictures_drawn_on([near], replace(section, adata=adata))
    assert [each.picture for each in both] == ["hires", "lowres"]
    assert [each.n_spots for each in both] == [4 * 4, 12 * 12]


def test_a_picture_of_half_the_size_is_recognised_over_the_spots(section: Section) -> None:
    adata = section.adata.copy()
    adata.obsm["spatial"] = np.asarray(adata.obsm["spatial"]) - 4900  # 100 to 2,000
    half = SectionImage("hires", np.zeros((1100, 1100), np.uint8), 0.5)
    near = replace(section, adata=adata, images=(half,))
    drawn = [square(45, 45, 960)]
    assert spots_within(drawn, near.positions)[1] == 100
    assert pictures_drawn_on(drawn, near) == (DrawnOn("hires", 0.5, 400),)
    assert pictures_drawn_on([square(450, 450, 960)], near) == ()


def test_scale_factors_without_pixels_will_do(section: Section) -> None:
    adata = section.adata.copy()
    factors = {"tissue_hires_scalef": np.array([HIRES]), "spot_diameter_fullres": 80.0,
               "tissue_odd_scalef": "text", "tissue_nan_scalef": float("nan")}  # fmt: skip
    adata.uns["spatial"] = {"slide": {"scalefactors": factors}}
    bare = replace(section, adata=adata, images=())
    assert pictures_drawn_on([shrunk(INSIDE, HIRES)], bare) == (DrawnOn("hires", HIRES, 16),)
    for odd in ({}, {"slide": 1}, {"slide": {"scalefactors": [1]}}, 5, None):
        adata.uns["spatial"] = odd
        assert pictures_drawn_on([shrunk(INSIDE, HIRES)], bare) == ()


def test_a_picture_that_is_too_small_is_not_offered(section: Section) -> None:
    beyond = square(700, 500, 120)  # hires is 800 wide
    assert pictures_drawn_on([shrunk(INSIDE, HIRES), beyond], section) == ()


@pytest.fixture
def study(section: Section) -> Study:
    study = Study()
    study.open(section)
    return study


def add(study: Study, *shapes: RegionShape) -> tuple[ImportedOutlines, str]:
    outlines = ImportedOutlines(study)
    regions = study.regions
    for name in dict.fromkeys(shape.region for shape in shapes):
        regions = regions.with_class(RegionClass(name, (1.0, 0.0, 0.0)))
    return outlines, outlines.add("a.geojson", regions, shapes)


def test_outlines_with_spots_are_no_remark(study: Study) -> None:
    outlines, remark = add(study, INSIDE)
    assert remark == ""
    assert outlines.offer == ()
    assert study.region_sizes.tolist() == [16]


def test_outlines_without_spots_are_told(study: Study) -> None:
    outlines, remark = add(study, square(50_000, 50_000, 10))
    assert "No spot lies in the outlines of a.geojson" in remark
    assert outlines.offer == ()


def test_regions_of_outlines_without_spots_are_named(study: Study) -> None:
    far = [square(50_000, 50_000 + k, 10, name) for k, name in enumerate("ABCDA")]
    _, remark = add(study, INSIDE, *far)
    assert remark == "5 of 6 outlines of a.geojson hold no spot (of the regions A, B, C, …)."


def test_scaling_places_them_and_one_undo_takes_them_back(study: Study) -> None:
    corner = square(5000, 5000, 100, "corner")
    study.regions = study.regions.with_class(RegionClass("corner", (0.0, 1.0, 0.0))).with_shapes(
        [corner]
    )
    before = study.regions
    outlines, remark = add(study, shrunk(INSIDE, HIRES))
    assert "hold no spots, but 16 if they were drawn on the hires picture" in remark
    assert study.region_sizes.tolist() == [4, 0]
    (offer,) = outlines.offer
    emitted: list[tuple[DrawnOn, ...]] = []
    outlines.offered.connect(emitted.append)
    outlines.scale(offer)
    assert study.region_sizes.tolist() == [4, 16]
    np.testing.assert_allclose(study.regions.shapes[1].vertices, INSIDE.vertices)
    assert study.regions.shapes[0] is corner
    assert outlines.offer == () == emitted[-1]
    study.undo()
    assert study.regions is before


def test_the_offer_ends_when_the_regions_change_or_it_is_declined(study: Study) -> None:
    outlines, _ = add(study, shrunk(INSIDE, HIRES))
    assert outlines.offer
    study.regions = study.regions.with_class(RegionClass("new", (0.0, 1.0, 0.0)))
    assert outlines.offer == ()
    study.undo()
    study.undo()
    outlines, _ = add(study, shrunk(INSIDE, HIRES))
    drawn = study.regions
    outlines.leave()
    assert outlines.offer == ()
    assert study.regions is drawn
