"""Three walks through real tissue, step by step in the real window, with their pictures.

python scripts/walks.py FOLDER [WALK ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

from napari_smoother.widgets.compare_page import ComparePage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.drop_target import open_dropped
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.regions_page import RegionsPage
from napari_smoother.widgets.waiting import pause
from napari_smoother.widgets.window import new_window, save_screenshot, wait_for_rest

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from numpy.typing import NDArray

    from napari_smoother.widgets.dock import SmootherDock

TISSUE = Path(__file__).resolve().parents[2] / "shared" / "data"
LYMPH_NODE = TISSUE / "visium_human_lymph_node"
CORTEX = TISSUE / "visium_dlpfc_151673" / "visium_dlpfc_151673.h5ad"
BULB = TISSUE / "st_mouse_olfactory_bulb" / "st_mob1.h5ad"
SIZE = (1280, 800)


class Walk:
    """A window at the size of a small laptop, and its pictures in order.

    Parameters
    ----------
    name
        Of the walk.
    folder
        Where pictures go.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder, self._number = name, folder, 0
        self.viewer, self.dock = new_window()
        self.viewer.window.resize(*SIZE)
        self.session, self.study = self.dock.session, self.dock.session.study

    def look(self, what: str) -> None:
        """Wait until nothing is computed, and take a picture."""
        wait_for_rest(self.session)
        pause(300)
        self._number += 1
        path = self._folder / f"{self._name}_{self._number}.png"
        save_screenshot(self.viewer, path)
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
        print(f"{path.name}: {what} [{self.dock.status.text.text()}]")

    def drag(self, outline: NDArray[np.float64]) -> None:
        """Draw along an outline with the button held: (x, y) in full-resolution pixels."""
        drag(self.viewer, self.dock, outline)
        wait_for_rest(self.session)


def drag(viewer: napari.Viewer, dock: SmootherDock, outline: NDArray[np.float64]) -> None:
    """Move the mouse along an outline with the button held."""
    canvas = viewer.window._qt_viewer.canvas.native
    layer = dock.session.scene.map_on_top
    camera = viewer.scene.camera
    middle = np.array([canvas.height(), canvas.width()]) / 2
    world = np.array([layer.data_to_world(place) for place in outline[:, ::-1]])
    places = (world - np.asarray(camera.center[-2:])) * camera.zoom + middle
    points = [QPoint(round(x), round(y)) for y, x in places]
    QTest.mouseMove(canvas, points[0])
    pause(30)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points[1:]:
        QTest.mouseMove(canvas, point)
        pause(15)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=points[-1])
    pause(50)


def patches(
    positions: NDArray[np.float64], chosen: NDArray[np.bool_], reach: float, number: int
) -> list[NDArray[np.float64]]:
    """Return outlines around the largest patches of chosen spots, as an eye sees them."""
    places = positions[chosen]
    links = cKDTree(places).sparse_distance_matrix(cKDTree(places), reach)
    _, labels = connected_components(links)
    largest = np.argsort(-np.bincount(labels))[:number]
    outlines = []
    for label in largest:
        around = shapely.unary_union(
            shapely.buffer(shapely.points(places[labels == label]), 0.7 * reach)
        )
        parts = shapely.get_parts(around)
        rim = parts[np.argmax(shapely.area(parts))].simplify(0.1 * reach).exterior
        outlines.append(shapely.get_coordinates(rim))
    return outlines


def lymph_node(folder: Path) -> None:
    """Draw follicles on the map of a cell type, and compare them with what is around them."""
    walk = Walk("lymph_node", folder)
    dock, study = walk.dock, walk.study
    open_dropped(
        walk.session,
        [
            LYMPH_NODE / "lymph_node_reference_330cells.h5ad",
            LYMPH_NODE / "lymph_node_visium_1000spots.h5ad",
        ],
    )
    walk.look("section and reference, dropped together")

    deconvolve = dock.turn_to(DeconvolvePage)
    walk.session.scene.resize_spots(1.6)
    composition = study.composition
    assert composition is not None
    deconvolve.types.selectRow(1 + composition.types.index("B"))
    deconvolve.lambda_.slider.setValue(round(1000 * deconvolve.lambda_.place_of(1.0)))
    walk.look("B cells, smoothed by hand: follicles come out of the map")
    composition = study.composition

    regions = dock.turn_to(RegionsPage)
    regions.tools["Lasso"].click()
    share = composition.proportions[:, composition.types.index("B")]
    many = share > np.nanquantile(share, 0.7)
    spacing = np.median(
        cKDTree(study.section.positions).query(study.section.positions, 4)[0][:, 3]
    )
    for outline in patches(study.section.positions, many, 1.6 * spacing, 3):
        walk.drag(outline)
    study.regions = study.regions.with_renamed(study.regions.names[0], "follicles")
    walk.look("three follicles, drawn with the lasso on the map that stays")

    regions.connectivity.slider.setValue(0)
    dock.turn_to(DeconvolvePage)
    walk.look("their borders are cut, and the composition follows")

    compare = dock.turn_to(ComparePage)
    compare.unassigned.click()
    wait_for_rest(walk.session)
    walk.look("cell types of the follicles beside everything around them")
    compare.parts.setCurrentIndex(1)
    compare.genes.rank.click()
    walk.look("genes that differ")
    walk.viewer.close()


def cortex(folder: Path) -> None:
    """Find the layers of a cortex, and hold them against those that anatomists drew."""
    walk = Walk("cortex", folder)
    dock = walk.dock
    open_dropped(walk.session, [CORTEX])
    walk.look("the section")

    regions = dock.turn_to(RegionsPage)
    regions.column.setCurrentText("layer")
    regions.column.activated.emit(regions.column.currentIndex())
    regions.coloured.setChecked(True)
    walk.look("layers drawn by anatomists, from the column of the file")
    while walk.study.regions.classes:
        dock.undo.click()

    reduce = dock.turn_to(ReducePage)
    reduce.map.setCurrentText("Three components as red, green, blue")
    walk.session.scene.fade_image(0.3)
    walk.look("three spatial components")
    reduce.map.setCurrentText("Spatial domains")
    reduce.domains.setValue(7)
    walk.look("domains, found without the anatomists")
    found = walk.session.reduction.analysis.result
    layer = walk.study.section.adata.obs["layer"].astype(str)
    named = (layer != "NA").to_numpy()
    agreement = adjusted_rand_score(layer[named], found.domains.labels[named])
    print(f"adjusted Rand index of domains and layers: {agreement:.3f}")

    compare = dock.turn_to(ComparePage)
    compare.groups.setCurrentIndex(compare.groups.findText("Domains of the spatial PCA"))
    compare.groups.activated.emit(compare.groups.currentIndex())
    compare.parts.setCurrentIndex(1)
    compare.genes.rank.click()
    walk.look("genes of the domains")
    walk.viewer.close()


def olfactory_bulb(folder: Path) -> None:
    """Prune the graph of an olfactory bulb by its histology, and see how far the prior reaches."""
    walk = Walk("bulb", folder)
    dock = walk.dock
    open_dropped(walk.session, [BULB])
    walk.look("the section on its stained tissue")

    graph = dock.turn_to(GraphPage)
    walk.look("neighbours, all linked alike")
    graph.histology.click()
    walk.look("links weighed by the likeness of the tissue under their ends")

    reduce = dock.turn_to(ReducePage)
    reduce.map.setCurrentText("Spatial domains")
    reduce.domains.setValue(5)
    walk.look("domains under that prior")
    walk.viewer.close()


WALKS: dict[str, Callable[[Path], None]] = {
    "lymph_node": lymph_node,
    "cortex": cortex,
    "bulb": olfactory_bulb,
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or WALKS:
        WALKS[name](folder)


if __name__ == "__main__":
    main()
