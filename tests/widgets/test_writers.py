"""File > Save writes what our layers hold."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from napari.layers import Points
from qtpy.QtWidgets import QFileDialog

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.io.h5ad import read_h5ad_section
from napari_smoother.io.regions_geojson import read_regions_geojson
from napari_smoother.layers.region_shapes import REGIONS
from napari_smoother.layers.scene import COMPOSITION
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets.contributions import layers_of
from napari_smoother.widgets.reduce_page import ReducePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

PLUGIN = "napari-smoother"


def read(path: str) -> pd.DataFrame:
    return pd.read_csv(path, index_col="barcode", float_precision="round_trip")


def outline(sample: Sample, grow: float = 0.2) -> np.ndarray:
    low, high = sample.section.positions.min(0), sample.section.positions.max(0)
    first, last = low + grow * (high - low), high - grow * (high - low)
    return np.array([first, [last[0], first[1]], last, [first[0], last[1]]])


@pytest.fixture
def drawn(solved: Session, sample: Sample, settle: Settle) -> Session:
    study = solved.study
    regions = study.regions.with_class(RegionClass("follicle, <1>", (1.0, 0.5, 0.0)))
    study.regions = regions.with_shapes([RegionShape("follicle, <1>", outline(sample))])
    settle(solved)
    return solved


def test_regions_come_back_from_geojson(drawn: Session, sample: Sample, tmp_path: Path) -> None:
    layer = drawn.scene.layer(REGIONS)
    assert layer is not None
    (written,) = layer.save(str(tmp_path / "regions.geojson"), plugin=PLUGIN)
    (polygon,) = read_regions_geojson(written)
    assert (polygon.name, polygon.colour) == ("follicle, <1>", (255, 128, 0))
    corners = np.array(polygon.geometry.exterior.coords)[:-1]
    np.testing.assert_allclose(
        sorted(map(tuple, corners)), sorted(map(tuple, outline(sample))), rtol=1e-5
    )
    properties = json.loads((tmp_path / "regions.geojson").read_text())["features"][0]
    assert properties["properties"]["objectType"] == "annotation"


def test_shapes_of_anybody_become_geojson(window: napari.Viewer, tmp_path: Path) -> None:
    square = np.array([[0, 0], [0, 10], [20, 10], [20, 0]])
    layer = window.add_shapes(
        [square, square[:2]], shape_type=["polygon", "line"], scale=(3, 3), name="mine"
    )
    with pytest.warns(UserWarning, match="1 of 2 shapes"):
        (written,) = layer.save(str(tmp_path / "a.geojson"), plugin=PLUGIN)
    (polygon,) = read_regions_geojson(written)
    assert polygon.name == "Unclassified"
    assert polygon.geometry.bounds == (0, 0, 10, 20)  # x, y in the pixels they are drawn in
    assert list(layer.features) == []
    layer.data = [square[:2]]
    with pytest.raises(OSError, match="No shape encloses"):
        layer.save(str(tmp_path / "b.geojson"), plugin=PLUGIN)
    assert not (tmp_path / "b.geojson").exists()


def test_composition_is_written_with_all_types(solved: Session, tmp_path: Path) -> None:
    layer = solved.scene.layer(COMPOSITION)
    composition = solved.study.composition
    assert layer is not None
    assert composition is not None
    layer.features = layer.features.assign(mine=1)
    (written,) = layer.save(str(tmp_path / "composition.csv"), plugin=PLUGIN)
    found = read(written)
    assert list(found) == [*composition.types, "mine"]
    assert list(found.index) == list(composition.counts.spots)
    np.testing.assert_array_equal(
        found[list(composition.types)].to_numpy(), composition.proportions
    )
    solved.scene.show_type(composition.types[1])
    (written,) = layer.save(str(tmp_path / "again.csv"), plugin=PLUGIN)
    assert list(read(written)) == [*composition.types, "mine"]


def test_deviations_are_written_where_they_are_shown(
    solved: Session, settle: Settle, tmp_path: Path
) -> None:
    composition = solved.study.composition
    assert composition is not None
    solved.scene.show_type(composition.types[0])
    solved.scene.show_quantity("deviation")
    settle(solved)
    composition = solved.study.composition
    assert composition is not None
    assert composition.deviation is not None
    layer = solved.scene.layer(COMPOSITION)
    (written,) = layer.save(str(tmp_path / "deviation.csv"), plugin=PLUGIN)
    np.testing.assert_array_equal(
        read(written).to_numpy(), composition.deviation.proportion_deviation
    )


def test_components_and_domains_are_written(
    dock: SmootherDock, solved: Session, settle: Settle, tmp_path: Path
) -> None:
    page = dock.turn_to(ReducePage)
    settle(solved)
    assert isinstance(page, ReducePage)
    embedding = solved.reduction.analysis.result
    assert embedding is not None
    layer = solved.scene.layer(solved.reduction.analysis.name)
    assert isinstance(layer, Points)
    (written,) = layer.save(str(tmp_path / "embedding.csv"), plugin=PLUGIN)
    found = read(written)
    assert list(found)[:2] == ["spatial component 1", "spatial component 2"]
    np.testing.assert_array_equal(found.to_numpy(), embedding.scores)
    domains = np.arange(len(found)) % 3 - 1
    table = replace(embedding, domains=SimpleNamespace(labels=domains)).table()
    assert list(table) == [*found, "domain"]
    assert table["domain"].astype(object).fillna("none").tolist()[:3] == [
        "none",
        "domain 1",
        "domain 2",
    ]


def test_spots_are_written_with_their_features(
    window: napari.Viewer, sample: Sample, tmp_path: Path
) -> None:
    for data, state, kind in layers_of(sample.section):
        (layer,) = window._add_layer_from_data(data, state, kind)
    (written,) = layer.save(str(tmp_path / "spots.csv"), plugin=PLUGIN)
    found = read(written)
    assert list(found.index) == list(sample.section.adata.obs_names)
    assert list(found) == list(sample.section.adata.obs.columns)
    layer.features = layer.features.assign(score=np.arange(len(layer.data)) / 7)
    (written,) = layer.save(str(tmp_path / "spots.h5ad"), plugin=PLUGIN)
    adata = read_h5ad_section(written).adata
    np.testing.assert_array_equal(adata.obs["score"], layer.features["score"])
    assert (adata.X != sample.section.adata.X).nnz == 0
    assert "score" not in sample.section.adata.obs


def test_section_is_written_with_what_was_found(drawn: Session, tmp_path: Path) -> None:
    layer = drawn.scene.layer(SPOTS)
    composition = drawn.study.composition
    assert layer is not None
    assert composition is not None
    (written,) = layer.save(str(tmp_path / "spots.h5ad"), plugin=PLUGIN)
    adata = read_h5ad_section(written).adata
    np.testing.assert_allclose(adata.obsm["nnls"].to_numpy(), composition.proportions)
    assert "spatial_connectivities" in adata.obsp
    assert drawn.study.is_up_to_date


def test_points_of_anybody_are_left_to_others(window: napari.Viewer, tmp_path: Path) -> None:
    layer = window.add_points([[0, 1]], name="mine", features={"a": [1]})
    for ending in ("csv", "h5ad"):
        path = tmp_path / f"mine.{ending}"
        with pytest.raises(OSError, match="layer mine"):
            layer.save(str(path), plugin=PLUGIN)
        assert not path.exists()


def test_save_selected_layers_offers_our_formats(
    window: napari.Viewer, drawn: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[str] = []
    for name, kind in ((REGIONS, "regions (*.geojson *.json)"), (SPOTS, "table of spots (*.csv)")):
        window.layers.selection.active = drawn.scene.layer(name)

        def answer(*args: object, filter: str, wanted: str = kind, **options: object):
            offered.append(filter)
            chosen = next(entry for entry in filter.split(";;") if entry.endswith(wanted))
            return str(tmp_path / wanted.split()[0]), chosen

        monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            window.window._qt_viewer._save_layers_dialog(selected=True)
    assert (tmp_path / "regions.geojson").stat().st_size > 100
    assert (tmp_path / "table.csv").stat().st_size > 100
