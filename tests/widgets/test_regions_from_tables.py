"""Regions from classes of spots and from files, and copies to another section."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.widgets import region_files
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session


@pytest.fixture
def page(
    dock: SmootherDock, session: Session, sample: Sample, settle: Callable[[Session], None]
) -> RegionsPage:
    session.study.open(sample.section)
    settle(session)
    page = dock.turn_to(RegionsPage)
    assert isinstance(page, RegionsPage)
    return page


def with_column(sample: Sample, name: str, values: list[str]):
    adata = sample.section.adata.copy()
    adata.obs[name] = values
    return replace(sample.section, adata=adata)


def test_spots_of_a_class_are_assigned(
    page: RegionsPage, session: Session, sample: Sample, told: list[str]
) -> None:
    assignment, study = page.assignment, session.study
    assignment.source.setCurrentText("region")
    truth = sample.section.adata.obs["region"].astype(str).to_numpy()
    name = assignment.value.itemText(1)
    assignment.value.setCurrentIndex(1)
    assignment.assign.click()
    assert any("no region" in message for message in told)
    page.add.click()
    assignment.assign.click()
    np.testing.assert_array_equal(study.region_labels == 0, truth == name)
    assert page.table.item(0, 2).text() == f"{(truth == name).sum():,}"
    study.undo()
    assert study.region_sizes.tolist() == [0]


def test_circled_spots_are_assigned(page: RegionsPage, session: Session, told: list[str]) -> None:
    page.add.click()
    page.assignment.assign.click()
    assert any("No spot is circled" in message for message in told)
    circled = np.zeros(session.study.section.n_spots, dtype=bool)
    circled[[3, 5, 8]] = True
    session.highlight.select(circled)
    page.assignment.assign.click()
    assert np.flatnonzero(session.study.region_labels == 0).tolist() == [3, 5, 8]
    page.table.item(0, 4).setCheckState(page.table.item(0, 3).checkState())  # locked
    session.highlight.select(~circled)
    page.assignment.assign.click()
    assert any("locked" in message for message in told)
    assert session.study.region_sizes.tolist() == [3]


def test_texts_that_stand_for_none_are_told(
    page: RegionsPage, session: Session, sample: Sample, told: list[str]
) -> None:
    values = ["L1"] * sample.section.n_spots
    values[:7] = ["NA"] * 7
    session.study.open(with_column(sample, "layer", values))
    page.column.setCurrentText("layer")
    page.column.activated.emit(page.column.currentIndex())
    assert session.study.regions.names == ("L1",)
    assert session.study.region_sizes.tolist() == [sample.section.n_spots - 7]
    assert any("7 spots “NA”" in message for message in told)
    assert page.coloured.isChecked()  # they have no outlines


def test_classes_of_loupe_come_in_and_go_out(
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
    told: list[str],
    tmp_path: Path,
) -> None:
    study, barcodes = session.study, list(sample.section.adata.obs_names)
    middle = np.median(sample.section.positions, axis=0)
    study.regions = study.regions.with_class(RegionClass("drawn", (0.1, 0.2, 0.3))).with_shapes(
        [RegionShape.around("drawn", shapely.Point(middle).buffer(500))]
    )
    before = study.region_labels == 0
    lines = ["Barcode,Follicles", f"{barcodes[0]},outer", f"{barcodes[1]},NA", "elsewhere,inner"]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    region_files.import_regions(session, tmp_path / "in.csv")
    settle(session)
    assert study.regions.names == ("drawn", "outer", "inner")
    assert np.flatnonzero(study.region_labels == 1).tolist() == [0]
    np.testing.assert_array_equal(study.region_labels == 0, before)
    (message,) = told
    assert "1 of its barcodes, such as elsewhere" in message
    assert "'NA'" in message
    region_files.export_regions(session, tmp_path / "out.csv")
    settle(session)
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert written[0] == "Barcode,region"
    assert dict(line.split(",") for line in written[1:]) == {
        barcode: study.regions.names[code]
        for barcode, code in zip(barcodes, study.region_labels, strict=True)
        if code >= 0
    }


def test_annotations_of_qupath_go_back_as_they_came(
    page: RegionsPage,
    session: Session,
    sample: Sample,
    settle: Callable[[Session], None],
    tmp_path: Path,
) -> None:
    middle = np.median(sample.section.positions, axis=0)
    ring = shapely.Point(middle).buffer(900).difference(shapely.Point(middle).buffer(400))
    kept = {
        "type": "Feature",
        "id": "0f1e2d3c-0000-4000-8000-000000000001",
        "geometry": shapely.geometry.mapping(ring),
        "properties": {
            "objectType": "annotation",
            "classification": {"name": "ring", "color": [10, 200, 30]},
            "name": "the one in the middle",
            "isLocked": True,
        },
    }
    (tmp_path / "in.geojson").write_text(json.dumps([kept]))
    region_files.import_regions(session, tmp_path / "in.geojson")
    settle(session)
    study = session.study
    assert study.regions.classes[0].locked
    (shape,) = study.regions.shapes
    assert len(shape.holes) == 1
    assert study.region_sizes[0] == shapely.intersects_xy(ring, *sample.section.positions.T).sum()
    region_files.export_regions(session, tmp_path / "out.geojson")
    settle(session)
    (again,) = json.loads((tmp_path / "out.geojson").read_text())["features"]
    assert again["id"] == kept["id"]
    assert again["properties"] == kept["properties"]
    assert shapely.geometry.shape(again["geometry"]).equals(ring)


def test_regions_are_copied_to_another_section(
    page: RegionsPage, session: Session, sample: Sample, settle: Callable[[Session], None]
) -> None:
    study, section = session.study, sample.section
    adata = section.adata.copy()
    adata.obsm["spatial"] = 2 * section.positions
    pixel = section.micrometres_per_pixel or 1.0
    study.switch_to(0)
    half = replace(section, name="finer", adata=adata, images=(), micrometres_per_pixel=pixel / 2)
    study.open(replace(section, micrometres_per_pixel=pixel))
    study.open(half, beside=True)
    study.switch_to(0)
    settle(session)
    middle = np.median(section.positions, axis=0)
    study.regions = (
        study.regions.with_class(RegionClass("disc", (0.9, 0.2, 0.3)))
        .with_class(RegionClass("some", (0.1, 0.2, 0.9)))
        .with_shapes([RegionShape.around("disc", shapely.Point(middle).buffer(700))])
        .with_spots("some", np.arange(section.n_spots) < 9)
    )
    labels = study.region_labels
    assert page.copy.isVisible()
    page.copy.setCurrentIndex(1)
    page.copy.activated.emit(1)
    assert study.section is half
    assert study.regions.names == ("disc", "some")
    np.testing.assert_array_equal(study.region_labels, labels)
    study.undo()
    assert not study.regions.classes
    study.switch_to(0)
    np.testing.assert_array_equal(study.region_labels, labels)
