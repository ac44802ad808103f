"""The keys of the canvas, pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel

from napari_smoother.analyses.shown import View
from napari_smoother.figures.panels import ClassKey, NumberKey
from napari_smoother.layers import tissue
from napari_smoother.layers.scene import DOMINANT
from napari_smoother.widgets.cheat_sheet import CheatSheet
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.keys import ACTIONS
from napari_smoother.widgets.picture import with_key
from napari_smoother.widgets.reduce_page import ReducePage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

NONE = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def press(window: napari.Viewer, solved: Session) -> Callable[..., None]:
    canvas = window.window._qt_viewer.canvas.native

    def act(key: Qt.Key | str, modifiers: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(canvas, key, modifiers)

    return act


def test_next_and_previous_cell_type(solved: Session, press: Callable[..., None]) -> None:
    types = solved.study.composition.types
    seen = [solved.scene.cell_type]
    for _ in range(len(types) + 1):
        press(".")
        seen.append(solved.scene.cell_type)
    assert seen == [DOMINANT, *types, DOMINANT]
    press(",")
    assert solved.scene.cell_type == types[-1]


def test_next_gene_component_and_map(
    dock: SmootherDock, solved: Session, press: Callable[..., None], settle: Settle
) -> None:
    genes = list(map(str, solved.study.section.adata.var_names))
    solved.scene.colour_by(View("gene", genes[-1], colormap="magma"))
    press(".")
    assert solved.scene.shown.view == View("gene", genes[0], colormap="magma")
    dock.turn_to(ReducePage)
    settle(solved)
    press(".")
    assert solved.scene.key.quantity == "spatial component 2"
    stages = []
    for _ in range(3):
        press("N")
        stages.append(solved.scene.stage)
    assert stages == ["data", "composition", "spatial_pca"]
    press("N", SHIFT)
    assert solved.scene.stage == "composition"


def test_image_and_spots_are_hidden_and_shown(solved: Session, press: Callable[..., None]) -> None:
    image, spots = solved.scene.layer(tissue.IMAGE), solved.scene.map_on_top
    for key, layer in (("H", image), ("U", spots)):
        press(key)
        assert not layer.visible
        press(key)
        assert layer.visible


def test_spots_grow_and_shrink_within_what_the_slider_offers(
    solved: Session, press: Callable[..., None]
) -> None:
    press("K")
    assert solved.scene.shown.spot_size == pytest.approx(1.15)
    press("J")
    assert solved.scene.shown.spot_size == pytest.approx(1.0)
    for _ in range(20):
        press("J")
    assert solved.scene.shown.spot_size == 0.2


def test_the_view_is_fitted_to_the_tissue(
    window: napari.Viewer, solved: Session, press: Callable[..., None]
) -> None:
    window.camera.zoom *= 20
    window.camera.center = (0, -1e5, -1e5)
    press("W")
    low, high = solved.scene.map_on_top.extent.world
    assert np.all(np.asarray(window.camera.center[-2:]) > low)
    assert np.all(np.asarray(window.camera.center[-2:]) < high)


def test_undo_and_redo(solved: Session, press: Callable[..., None]) -> None:
    first = solved.study.composition.types[0]
    solved.scene.show_type(first)
    press("Z", CONTROL)
    assert solved.scene.cell_type == DOMINANT
    press("Z", CONTROL | SHIFT)
    assert solved.scene.cell_type == first


def test_a_question_mark_lists_the_keys(
    window: napari.Viewer, dock: SmootherDock, solved: Session
) -> None:
    assert dock.help.shortcut().toString() == "?"
    dock.help.click()
    sheets = window.window._qt_window.findChildren(CheatSheet)
    assert len(sheets) == 1
    said = " ".join(label.text() for label in sheets[0].findChildren(QLabel))
    for action in ACTIONS:
        assert action.description in said
    sheets[0].close()


def test_no_key_is_one_of_naparis_own() -> None:
    from napari.utils.shortcuts import default_shortcuts

    theirs = {str(key) for keys in default_shortcuts.values() for key in keys}
    ours = [str(action_manager._shortcuts[f"napari-smoother:{a.name}"][0]) for a in ACTIONS]
    assert len(set(ours)) == len(ACTIONS)
    assert not theirs & set(ours)


def test_keys_are_listed_in_the_preferences() -> None:
    listed = action_manager._get_provider_actions(ViewerModel)
    assert {f"napari-smoother:{action.name}" for action in ACTIONS} <= set(listed)
    assert get_settings().shortcuts.shortcuts is not None


def test_the_picture_holds_view_and_key(solved: Session, press: Callable[..., None]) -> None:
    solved.scene.show_type(DOMINANT)
    press("C", SHIFT)
    image = QGuiApplication.clipboard().image()
    assert image.width() > image.height() / 2
    key = solved.scene.key
    swatches = {
        image.pixelColor(x, y).name()
        for x in range(round(image.width() / 1.3), image.width(), 3)
        for y in range(0, image.height(), 3)
    }
    wanted = {QColor.fromRgbF(*colour[:3]).name() for _, colour in key.classes}
    assert wanted <= swatches


def test_a_picture_is_high_enough_for_all_classes() -> None:
    classes = tuple((f"class {i}", (i / 60, 0.2, 0.4, 1.0)) for i in range(60))
    low = np.full((100, 400, 4), 255, dtype=np.uint8)
    assert with_key(low, ClassKey("clusters", classes, True, "none")).height() >= 61 * 20
    assert with_key(low, None).width() == 400
    bar = with_key(low, NumberKey("counts", 0.0, 5.0, "viridis", False))
    assert bar.pixelColor(bar.width() - 20, 40) != bar.pixelColor(bar.width() - 120, 40)


def test_pages_are_turned_by_alt_and_a_number(
    dock: SmootherDock, solved: Session, qtbot: QtBot
) -> None:
    dock.turn_to(DeconvolvePage)
    number = dock.pages.index(dock.page(GraphPage))
    dock.tabs.buttons.button(number).click()
    assert dock.page_in_front is dock.page(GraphPage)
    shortcuts = [dock.tabs.buttons.button(n).shortcut().toString() for n in range(len(dock.pages))]
    assert shortcuts == [f"Alt+{n + 1}" for n in range(len(dock.pages))]
