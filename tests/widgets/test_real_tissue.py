"""The same walk on tissue from a laboratory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.layers.scene import COMPOSITION
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets import opening
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.mark.tissue
def test_placenta_opens_by_drop(
    window: napari.Viewer, session: Session, settle: Settle, tissue: Path
) -> None:
    folder = tissue / "visium_mouse_placenta"
    window.open(folder, plugin="napari-smoother")
    settle(session)
    section = session.study.section
    assert section is not None
    assert section.n_spots == 2898
    assert section.adata.n_vars == 19465
    table = pd.read_csv(folder / "spatial" / "tissue_positions.csv", index_col="barcode")
    expected = table.loc[section.adata.obs_names, ["pxl_row_in_fullres", "pxl_col_in_fullres"]]
    spots = session.scene.layer(SPOTS)
    np.testing.assert_allclose(spots.data, expected.to_numpy())
    image = session.scene.layer("image")
    on_image = np.array([image.world_to_data(spots.data_to_world(spot)) for spot in spots.data])
    assert (on_image >= 0).all()
    assert (on_image < image.data.shape[:2]).all()
    redness = image.data[..., 0].astype(float) - image.data[..., 1]
    under_spots = redness[tuple(np.round(on_image).astype(int).T)].mean()
    bare_glass = redness[480:560, 100:500].mean()
    assert under_spots > 5 * bare_glass, "spots do not lie on stained tissue"
    assert window.canvas.overlays.scale_bar.visible
    assert str(spots.units[0]) == "micrometer"
    diameter = float(np.unique(spots.size)[0]) * section.micrometres_per_pixel
    assert diameter == pytest.approx(55, rel=0.01)
    assert session.study.graph is not None
    assert 5 < session.study.graph.summary.mean_degree <= 6


@pytest.mark.tissue
def test_cortex_layers_cut_the_graph(
    dock: SmootherDock, session: Session, settle: Settle, tissue: Path
) -> None:
    opening.open_path(session, tissue / "visium_dlpfc_151673" / "visium_dlpfc_151673.h5ad")
    settle(session)
    page = dock.turn_to(RegionsPage)
    assert isinstance(page, RegionsPage)
    page.column.setCurrentText("layer")
    page.column.activated.emit(page.column.currentIndex())
    settle(session)
    study = session.study
    assert study.section is not None
    layers = study.section.adata.obs["layer"].astype(str).to_numpy()
    assert [region.name for region in study.regions.classes] == [
        *(f"Layer{i}" for i in range(1, 7)),
        "WM",
    ]
    assert (study.region_labels == -1).sum() == (layers == "NA").sum() == 28
    graph = study.graph
    assert graph is not None
    differs = layers[graph.edges[:, 0]] != layers[graph.edges[:, 1]]
    assert graph.summary.n_cut == differs.sum()
    data = dock.turn_to(DataPage)
    assert isinstance(data, DataPage)
    data.source.setCurrentText("Spot column")
    data.name.choose("layer")
    assert len(np.unique(session.scene.layer(SPOTS).face_color, axis=0)) == 8


@pytest.mark.tissue
def test_lymph_node_with_its_reference(
    dock: SmootherDock, session: Session, settle: Settle, tissue: Path
) -> None:
    folder = tissue / "visium_human_lymph_node"
    opening.open_path(session, folder / "lymph_node_visium_1000spots.h5ad")
    settle(session)
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    opening.ask_and_open_reference(page.session, folder / "lymph_node_reference_330cells.h5ad")
    settle(session)
    study = session.study
    composition = study.composition
    assert composition is not None
    assert len(composition.types) == 11
    assert composition.n_genes == 558
    assert composition.converged
    assert composition.residual <= 1e-5
    assert "558 genes shared" in page.facts.text()
    assert session.scene.layer(COMPOSITION).visible

    before = composition.proportions
    page.lambda_.slider.setValue(800)
    settle(session)
    after = study.composition.proportions
    edges = study.graph.edges
    roughness = [
        np.square(shares[edges[:, 0]] - shares[edges[:, 1]]).sum() for shares in (before, after)
    ]
    assert roughness[1] < 0.5 * roughness[0]

    positions = study.section.positions
    middle = np.median(positions, axis=0)
    low = positions.min(axis=0) - 1
    half = np.array([low, (middle[0], low[1]), (middle[0], 1e6), (low[0], 1e6)])
    study.regions = Regions(
        classes=(RegionClass("left", (1.0, 0.0, 0.0)),), shapes=(RegionShape("left", half),)
    )
    study.boundary_connectivity = 0.0
    settle(session)
    cut = study.composition.proportions
    crossing = study.graph.crossing
    assert crossing.any()
    step = np.abs(cut[edges[crossing, 0]] - cut[edges[crossing, 1]]).mean()
    smooth = np.abs(after[edges[crossing, 0]] - after[edges[crossing, 1]]).mean()
    assert step > 2 * smooth, "the border does not let neighbours differ"
