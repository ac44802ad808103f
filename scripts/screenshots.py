"""Pictures of the real window for README and docs, made by driving it.

python scripts/screenshots.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_smoother.analyses.figure_settings import DOMINANT_TYPE
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.widgets import opening
from napari_smoother.widgets.compare_page import ComparePage
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.regions_page import RegionsPage
from napari_smoother.widgets.waiting import wait_while
from napari_smoother.widgets.window import (
    new_window,
    outline_around_centre,
    save_screenshot,
    wait_for_rest,
)

TISSUE = Path(__file__).resolve().parents[2] / "shared" / "data"
CORTEX = TISSUE / "visium_dlpfc_151673" / "visium_dlpfc_151673.h5ad"


def simulated(folder: Path) -> None:
    """Walk through the simulated cortex."""
    viewer, dock = new_window()
    session = dock.session
    opening.open_sample(session, "layered cortex")
    wait_for_rest(session)

    data = dock.turn_to(DataPage)
    data.name.choose("MBP")
    save_screenshot(viewer, folder / "data.png")

    dock.turn_to(GraphPage)
    regions = dock.turn_to(RegionsPage)
    study = session.study
    lesion = RegionClass("lesion", (0.9, 0.35, 0.1))
    outline = RegionShape("lesion", outline_around_centre(study.section.positions))
    study.regions = study.regions.with_class(lesion).with_shapes([outline])
    regions.connectivity.slider.setValue(0)
    wait_for_rest(session)
    viewer.scene.camera.zoom *= 3.2
    save_screenshot(viewer, folder / "regions.png")
    viewer.fit_to_view()

    deconvolve = dock.turn_to(DeconvolvePage)
    deconvolve.lambda_.slider.setValue(round(1000 * deconvolve.lambda_.place_of(1.0)))
    deconvolve.types.selectRow(1)
    wait_for_rest(session)
    save_screenshot(viewer, folder / "deconvolve.png")
    deconvolve.types.selectRow(0)
    save_screenshot(viewer, folder / "dominant.png")

    figure = dock.turn_to(FigurePage)
    figure.tick(DOMINANT_TYPE, *study.composition.types[:3])
    figure.columns.setValue(2)
    wait_while(lambda: figure.is_drawing)
    save_screenshot(viewer, folder / "figure.png")

    impute = dock.turn_to(ImputePage)
    impute.gene.choose("CUX2")
    impute.held_out.setValue(10)
    impute.denser.setChecked(True)
    impute.map_buttons["both"].click()
    wait_for_rest(session)
    save_screenshot(viewer, folder / "impute.png")

    compare = dock.turn_to(ComparePage)
    layers = compare.groups.findText("Column region")
    compare.groups.setCurrentIndex(layers)
    compare.groups.activated.emit(layers)
    compare.parts.setCurrentIndex(1)
    compare.genes.rank.click()
    wait_for_rest(session)
    compare.genes.table.selectRow(0)
    save_screenshot(viewer, folder / "compare.png")
    viewer.close()


def measured(folder: Path) -> None:
    """Take the layers of a human cortex as regions, and find them without."""
    viewer, dock = new_window()
    session = dock.session
    opening.open_path(session, CORTEX)
    wait_for_rest(session)
    dock.turn_to(GraphPage)
    regions = dock.turn_to(RegionsPage)
    regions.column.setCurrentText("layer")
    regions.column.activated.emit(regions.column.currentIndex())
    regions.connectivity.slider.setValue(0)
    wait_for_rest(session)
    save_screenshot(viewer, folder / "cortex_layers.png")

    session.study.regions = Regions()
    session.scene.resize_spots(1.6)
    session.scene.fade_image(0.25)
    reduce = dock.turn_to(ReducePage)
    reduce.smoothing.number.field.setValue(10.0)
    reduce.map.setCurrentText("Three components as red, green, blue")
    wait_for_rest(session)
    save_screenshot(viewer, folder / "reduce.png")
    viewer.close()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    simulated(folder)
    if CORTEX.exists():
        measured(folder)
    else:
        print(f"left out: {CORTEX} is not there")


if __name__ == "__main__":
    main()
