"""The Figure page in a real window: what is seen is what is written, and it is soon written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QAction, QDropEvent, QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_smoother.analyses.figure_settings import (
    DOMAINS,
    DOMINANT_TYPE,
    ON_SCREEN,
    REGIONS,
    FigureSettings,
    PanelSettings,
    Part,
)
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.analyses.shown import View
from napari_smoother.batch.figure_again import figure_from_file
from napari_smoother.figures.embedded import recipe_of_figure
from napari_smoother.figures.save import rendered
from napari_smoother.printing.on_screen import picture_on_screen
from napari_smoother.printing.plan import plan
from napari_smoother.widgets import figure_saving, files, opening, recipes
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.panel_table import HIGH, LOW, NAME, TITLE
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.window import outline_around_centre

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.figures.panels import Panel
    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

STARTS = {"png": b"\x89PNG", "tiff": b"II*\0", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture
def page(dock: SmootherDock, solved: Session, qtbot: QtBot) -> FigurePage:
    page = dock.turn_to(FigurePage)
    assert isinstance(page, FigurePage)
    qtbot.waitUntil(lambda: not page.is_drawing, timeout=60_000)
    return page


@pytest.fixture
def drawn(qtbot: QtBot) -> Callable[[FigurePage], np.ndarray]:
    """Wait until the preview is drawn, and return its pixels."""

    def wait(page: FigurePage) -> np.ndarray:
        qtbot.waitUntil(lambda: not page.is_drawing, timeout=60_000)
        picture = page.preview.sheet.picture.pixmap().toImage()
        image = picture.convertToFormat(QImage.Format.Format_RGB888)
        pixels = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
        rows = pixels.reshape(image.height(), image.bytesPerLine())
        return rows[:, : 3 * image.width()].copy()

    return wait


def drop(dock: SmootherDock, path: Path) -> None:
    urls = QMimeData()
    urls.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    dock.dropEvent(QDropEvent(QPointF(QPoint(20, 20)), copy, urls, left, none))


def words(page: FigurePage) -> list[str]:
    figure = figure_saving.take_plan(page.session).compose().figure
    return [item.get_text() for item in figure.findobj(Text) if item.get_text()]


def test_four_actions_to_a_figure(
    dock: SmootherDock,
    session: Session,
    sample: Sample,
    settle: Settle,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drop the section, drop the reference, press the keys, press Enter."""
    sample.section.adata.copy().write_h5ad(tmp_path / "tissue.h5ad")
    cells = sample.reference.copy()
    cells.obsm.clear()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    actions = 0

    drop(dock, tmp_path / "tissue.h5ad")
    actions += 1
    settle(session)
    drop(dock, tmp_path / "cells.h5ad")
    actions += 1
    qtbot.waitUntil(lambda: session.study.composition is not None, timeout=60_000)
    monkeypatch.setattr(
        QFileDialog,
        "getSaveFileName",
        lambda *given: _qt_dialog(*given),
    )
    pressed = []

    def enter() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QFileDialog)
        pressed.append(dialog.selectedFiles()[0])
        QTest.keyClick(dialog.focusWidget() or dialog, Qt.Key.Key_Return)

    dock.window().activateWindow()
    qtbot.waitActive(dock.window()).__enter__()
    QTimer.singleShot(500, enter)
    keys = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(dock, Qt.Key.Key_F, keys)
    QTest.keyClick(dock, Qt.Key.Key_F24)  # or Qt takes the others for held in tests that follow
    actions += 2  # the keys, and Enter
    written = tmp_path / "tissue_figure.pdf"
    assert pressed == [str(written)]
    qtbot.waitUntil(written.exists, timeout=60_000)
    assert actions <= 4
    assert written.read_bytes().startswith(b"%PDF")
    recipe = recipe_of_figure(written)
    assert recipe.recipe == session.study.recipe
    assert recipe.run.reference == "cells.h5ad"
    assert figure_saving.proposed_figure(session.study.section, ".pdf").name == (
        "tissue_figure_2.pdf"
    )
    settle(session)


def _qt_dialog(parent, title: str, path: str, kinds: str) -> tuple[str, str]:
    """Ask with Qt's own dialog, which a test can press keys in."""
    dialog = QFileDialog(parent, title, path, kinds)
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.selectFile(path)
    if not dialog.exec():
        return "", ""
    return dialog.selectedFiles()[0], dialog.selectedNameFilter()


def test_the_keys_are_free_in_napari_and_in_its_menus(window: napari.Viewer) -> None:
    from napari.settings import get_settings

    keys = figure_saving.SHORTCUT.lower()
    taken = {
        str(key).lower() for found in get_settings().shortcuts.shortcuts.values() for key in found
    }
    actions = window.window._qt_window.findChildren(QAction)
    assert len(actions) > 20
    taken |= {action.shortcut().toString().lower() for action in actions}
    assert keys not in taken


def test_the_preview_is_the_file(
    page: FigurePage, session: Session, settle: Settle, tmp_path: Path, drawn
) -> None:
    page.tick(DOMINANT_TYPE, session.study.composition.types[0])
    page.width_mm.setValue(89)
    seen = drawn(page)
    dpi = round(page.preview._dpi)
    page.preview._dpi = dpi
    page.dpi.setValue(dpi)
    page.save(tmp_path / "figure.png")
    settle(session)
    figure = figure_saving.take_plan(session).compose().figure
    with Image.open(tmp_path / "figure.png") as picture:
        written = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(written, rendered(figure, dpi))
    assert seen.shape[0] == pytest.approx(written.shape[0], rel=0.02)
    assert seen.shape[1] // 3 == pytest.approx(written.shape[1], rel=0.02)
    assert page.preview.geometry() == page.preview.parentWidget().rect()


def test_the_preview_follows_every_change(page: FigurePage, session: Session, drawn) -> None:
    before = drawn(page)
    page.scale_bar.click()
    after = drawn(page)
    assert not np.array_equal(before, after)
    session.scene.show_type(session.study.composition.types[1])
    assert not np.array_equal(drawn(page), after)
    session.study.undo()
    session.study.undo()
    np.testing.assert_array_equal(drawn(page), before)


def test_the_preview_leaves_the_canvas_to_other_pages(
    dock: SmootherDock, page: FigurePage, qtbot: QtBot
) -> None:
    assert page.preview.isVisible()
    assert not dock.key.isVisible()
    dock.turn_to(DataPage)
    assert not page.preview.isVisible()
    assert dock.key.isVisible() == (dock.session.scene.key is not None)
    dock.turn_to(FigurePage)
    assert page.preview.isVisible()
    page.preview.close_button.click()
    assert not page.preview.isVisible()
    assert not page.show_preview.isChecked()
    page.show_preview.click()
    assert page.preview.isVisible()
    page.preview.float_button.click()
    assert page.preview.isWindow()
    dock.turn_to(DataPage)
    assert page.preview.isVisible()
    page.preview.close()
    assert not page.show_preview.isChecked()
    dock.turn_to(FigurePage)
    page.show_preview.click()
    assert page.preview.isVisible()
    assert not page.preview.isWindow()


def test_the_preview_is_sharper_where_it_is_enlarged(page: FigurePage, drawn) -> None:
    before = drawn(page).shape
    for _ in range(4):
        page.preview.larger.click()
    assert drawn(page).shape[0] > 1.5 * before[0]
    page.preview.fit_button.click()
    view, sheet = page.preview.sheet, page.preview.sheet.sceneRect()
    corners = view.mapFromScene(sheet).boundingRect()
    assert view.viewport().rect().contains(corners)


def test_figure_page_writes_what_is_on_screen(
    page: FigurePage, solved: Session, settle: Settle, tmp_path: Path
) -> None:
    page.dpi.setValue(100)
    for ending, start in STARTS.items():
        path = tmp_path / f"figure.{ending}"
        page.save(path)
        settle(solved)
        assert path.read_bytes().startswith(start), ending
        assert recipe_of_figure(path).recipe == solved.study.recipe, ending


def test_grid_of_types_genes_columns_regions_and_domains(
    dock: SmootherDock, page: FigurePage, solved: Session, settle: Settle, sample: Sample
) -> None:
    study = solved.study
    lesion = RegionShape("lesion", outline_around_centre(study.section.positions))
    study.regions = study.regions.with_class(RegionClass("lesion", (0.9, 0.4, 0.1))).with_shapes(
        [lesion]
    )
    reduce = dock.turn_to(ReducePage)
    reduce.components.setValue(4)
    reduce.domains.setValue(3)
    reduce.map.setCurrentText("Spatial domains")
    settle(solved)
    dock.turn_to(FigurePage)
    assert DOMAINS in page.panels.names()
    gene = sample.section.adata.var_names[0]
    wanted = [DOMINANT_TYPE, study.composition.types[1], gene, "region", REGIONS, DOMAINS]
    page.tick(ON_SCREEN, *wanted)
    assert page.panels.ticked() == (ON_SCREEN, *wanted)
    told = " ".join(words(page))
    for name in (*wanted, "lesion", "domain 3"):
        assert name in told


def test_a_name_twice_is_one_line(page: FigurePage, solved: Session) -> None:
    page.extra.setCurrentText("region")
    page.add.click()
    page.add.click()
    assert page.panels.names().count("region") == 1
    assert page.panels.ticked() == (ON_SCREEN, "region")


def test_panels_are_ticked_moved_and_lettered(page: FigurePage, solved: Session) -> None:
    types = solved.study.composition.types
    for name in (DOMINANT_TYPE, types[0]):
        page.panels.tick(name)
    page.panels.tick(ON_SCREEN, False)
    assert solved.study.recipe.figure.contents == (DOMINANT_TYPE, types[0])
    row = page.panels.names().index(types[0])
    assert page.panels.verticalHeaderItem(row).text() == "b"
    page.panels.setCurrentCell(row, NAME)
    page.up.click()
    assert solved.study.recipe.figure.contents == (types[0], DOMINANT_TYPE)
    assert page.panels.verticalHeaderItem(row - 1).text() == "a"
    solved.study.undo()
    assert page.panels.ticked() == (DOMINANT_TYPE, types[0])


def test_titles_and_limits_of_a_panel(page: FigurePage, solved: Session) -> None:
    kind = solved.study.composition.types[0]
    page.tick(DOMINANT_TYPE, kind)
    row = page.panels.names().index(kind)
    page.panels.item(row, TITLE).setText("T cells of the node")
    page.panels.item(row, HIGH).setText("0.5")
    page.panels.item(row, LOW).setText("nonsense")
    assert page.panels.item(row, LOW).text() == ""
    figure = solved.study.recipe.figure
    assert figure.panels == (PanelSettings(kind, "T cells of the node", None, 0.5),)
    assert "T cells of the node" in words(page)
    panels, _ = figure_saving.take_plan(solved).panels()
    assert (panels[1].key.low, panels[1].key.high) == (0.0, 0.5)
    other = page.panels.names().index(DOMINANT_TYPE)
    assert not page.panels.item(other, HIGH).flags() & Qt.ItemFlag.ItemIsEditable
    page.panels.item(row, HIGH).setText("")
    page.panels.item(row, TITLE).setText(kind)
    assert solved.study.recipe.figure.panels == ()
    page.panels.item(row, TITLE).setText("")
    assert solved.study.recipe.figure.panel(kind).title == ""


def test_limits_that_do_not_rise_are_told_beside_the_figure(
    page: FigurePage, solved: Session, qtbot: QtBot, told: list[str]
) -> None:
    kind = solved.study.composition.types[0]
    page.tick(kind)
    row = page.panels.names().index(kind)
    page.panels.item(row, HIGH).setText("-1")
    qtbot.waitUntil(lambda: not page.is_drawing, timeout=60_000)
    assert page.preview.sheet.picture.pixmap().isNull()
    assert "cannot run from 0 to -1" in page.preview.remark.text()
    assert not told


def test_common_limits_make_one_colour_bar(page: FigurePage, solved: Session) -> None:
    types, gene = solved.study.composition.types, solved.study.section.adata.var_names[0]
    page.tick(types[0], types[1], gene)
    page.limits.setCurrentText("common to all alike")
    assert solved.study.recipe.figure.limits == "common"
    own, _ = plan(solved.study, FigureSettings((types[0], types[1], gene))).panels()
    panels, _ = figure_saving.take_plan(solved).panels()
    assert panels[0].key == panels[1].key
    assert panels[0].key.quantity == "proportion"
    assert panels[0].key.high == max(own[0].key.high, own[1].key.high)
    assert panels[2].key == own[2].key
    assert "proportion (a, b)" in " ".join(words(page))


def test_a_journal_sets_the_width_and_another_width_is_nobodys(page: FigurePage) -> None:
    place = page.journal.findText("Nature, one column (89 mm)")
    page.journal.setCurrentIndex(place)
    page.journal.activated.emit(place)
    assert page.study.recipe.figure.width_mm == 89
    page.width_mm.setValue(100)
    assert page.journal.currentIndex() == 0
    page.study.undo()
    assert page.journal.currentIndex() == place


def test_text_too_small_for_journals_is_said(page: FigurePage) -> None:
    assert "at least 5 pt." in page.text_note.text()
    page.font_size.setValue(4)
    assert "The smallest text is 4 pt" in page.text_note.text()
    assert "choose larger" in page.text_note.text()


def test_crop_and_insets_follow_the_view_and_regions(
    page: FigurePage, solved: Session, told: list[str]
) -> None:
    study = solved.study
    square = RegionShape("lesion", outline_around_centre(study.section.positions))
    study.regions = study.regions.with_class(RegionClass("lesion", (0.9, 0.4, 0.1))).with_shapes(
        [square]
    )
    page.parts._list_crops()
    names = [action.text() for action in page.parts.crop_menu.actions()]
    assert names == ["Whole section", "Present view of the canvas", "Region lesion"]
    page.parts.crop_menu.actions()[2].trigger()
    assert study.recipe.figure.crop == Part("lesion")
    assert page.parts.crop.text() == "region lesion"
    page.parts._list_insets()
    page.parts.inset_menu.actions()[0].trigger()
    (inset,) = study.recipe.figure.insets
    assert inset.box == solved.scene.view_extent
    figure = figure_saving.take_plan(solved).compose().figure
    axes = next(axes for axes in figure.axes if axes.get_label() == "panel 0")
    inside = study.section.positions[study.region_labels == 0]
    low, high = inside.min(axis=0), inside.max(axis=0)
    assert axes.get_xlim()[0] < low[0] < high[0] < axes.get_xlim()[1]
    assert np.ptp(axes.get_xlim()) < 1.5 * (high[0] - low[0] + 100)
    page.parts.without.click()
    assert study.recipe.figure.insets == ()
    page.parts._list_crops()
    page.parts.crop_menu.actions()[1].trigger()
    assert study.recipe.figure.crop == Part(box=solved.scene.view_extent)
    assert "µm" in page.parts.crop.text()
    assert not told


def test_a_panel_of_another_section_is_struck_out_and_told(
    page: FigurePage, solved: Session, settle: Settle, tmp_path: Path, told: list[str], drawn
) -> None:
    page.tick(DOMINANT_TYPE, "a gene of the other section")
    study = solved.study
    study.recipe = replace(
        study.recipe,
        figure=replace(study.recipe.figure, crop=Part("gone"), insets=(Part("gone"),)),
    )
    drawn(page)
    row = page.panels.names().index("a gene of the other section")
    assert page.panels.item(row, NAME).font().strikeOut()
    assert "is not in this section" in page.panels.item(row, NAME).toolTip()
    for part in ("a gene of the other section", "Not cropped", "An inset is left out"):
        assert part in page.preview.remark.text()
    page.save(tmp_path / "figure.png")
    settle(solved)
    assert (tmp_path / "figure.png").exists()
    assert any("a gene of the other section" in message for message in told)
    assert study.recipe.figure.contents == (DOMINANT_TYPE, "a gene of the other section")
    page.tick("a gene of the other section")
    page.save(tmp_path / "nothing.png")
    settle(solved)
    assert not (tmp_path / "nothing.png").exists()
    assert any("Choose panels that this section has" in message for message in told)


def test_no_panel_ticked_is_told(page: FigurePage, told: list[str], tmp_path: Path) -> None:
    page.panels.tick(ON_SCREEN, False)
    page.save(tmp_path / "nothing.png")
    assert any("No panel is ticked" in message for message in told)
    assert not list(tmp_path.glob("*.png"))


def test_many_spots_are_said_to_be_a_picture(
    page: FigurePage, solved: Session, settle: Settle, tmp_path: Path, told: list[str], drawn
) -> None:
    page.vector_spots.setValue(10)
    drawn(page)
    assert "as a picture of 300 dpi" in page.preview.remark.text()
    page.save(tmp_path / "figure.svg")
    settle(solved)
    assert any("as a picture of 300 dpi" in message for message in told)
    told.clear()
    page.save(tmp_path / "figure.png")
    settle(solved)
    assert told
    assert not any("as a picture" in message for message in told)


def test_a_figure_is_saved_once_the_computation_has_ended(
    dock: SmootherDock, solved: Session, settle: Settle, tmp_path: Path, qtbot: QtBot
) -> None:
    study = solved.study
    study.deconvolution = replace(study.deconvolution, lambda_=7.0)
    figure_saving.save(solved, tmp_path / "figure.png")
    qtbot.waitUntil((tmp_path / "figure.png").exists, timeout=60_000)
    settle(solved)
    assert study.composition.settings.lambda_ == 7.0
    assert study.composition_analysis.is_up_to_date


def test_an_export_is_told_and_can_be_cancelled(
    dock: SmootherDock, page: FigurePage, solved: Session, settle: Settle, tmp_path: Path
) -> None:
    said = []
    solved.loader.reported.connect(lambda news: said.append(news.text))
    page.dpi.setValue(600)
    page.save(tmp_path / "figure.png")
    solved.cancel()
    settle(solved)
    assert not list(tmp_path.glob("*.png"))
    page.dpi.setValue(50)
    page.save(tmp_path / "figure.png")
    settle(solved)
    assert (tmp_path / "figure.png").exists()
    assert any("drawing the figure" in text for text in said)


STAGES = (
    {"stage": "data", "view": View("obs", "region")},
    {"stage": "data", "view": View("obs", "n_counts_by_hand", low=10.0, colormap="magma")},
    {"stage": "composition", "cell_type": ""},
    {"stage": "composition", "quantity": "misfit"},
    {"stage": "regions"},
)


def test_print_has_the_colours_of_the_screen(
    solved: Session, settle: Settle, printed: Callable[[Session, str], Panel]
) -> None:
    study, section = solved.study, solved.study.section
    section.adata.obs["n_counts_by_hand"] = np.asarray(section.adata.X.sum(axis=1)).ravel()
    study.regions = study.regions.with_class(RegionClass("lesion", (0.9, 0.4, 0.1))).with_shapes(
        [RegionShape("lesion", outline_around_centre(section.positions))]
    )
    for shown in STAGES:
        solved.scene.change(**shown)
        settle(solved)
        picture = picture_on_screen(
            section, study.recipe, study.region_labels, study.composition, {}
        )
        colours, key = picture.colours()
        assert key == solved.scene.key, shown
        np.testing.assert_allclose(colours, solved.scene.colours, atol=1e-6)
        assert solved.scene.painted is None
        panel = printed(solved, ON_SCREEN)
        assert panel.key == key
        np.testing.assert_allclose(panel.colours, colours, atol=1e-6)


def test_a_figure_is_made_again_from_its_file(
    page: FigurePage,
    solved: Session,
    sample: Sample,
    settle: Settle,
    tmp_path: Path,
) -> None:
    sample.section.adata.copy().write_h5ad(tmp_path / "tissue.h5ad")
    cells = sample.reference.copy()
    cells.obsm.clear()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    session, study = solved, solved.study
    opening.open_path(session, tmp_path / "tissue.h5ad")
    settle(session)
    opening.open_reference(session, tmp_path / "cells.h5ad", "cell_type")
    settle(session)
    kind = study.composition.types[1]
    session.scene.show_type(kind)
    page.tick(ON_SCREEN, DOMINANT_TYPE)
    page.dpi.setValue(72)
    page.save(tmp_path / "figure.tiff")
    settle(session)
    again = figure_from_file(tmp_path / "figure.tiff", tmp_path / "tissue.h5ad")
    with Image.open(tmp_path / "figure.tiff") as picture:
        np.testing.assert_array_equal(np.asarray(picture), rendered(again, 72))
    before = study.recipe
    study.undo()
    session.scene.show_type("")
    recipes.open_recipe(session, tmp_path / "figure.tiff")
    settle(session)
    assert study.recipe == before


def test_the_format_chosen_last_is_proposed(
    page: FigurePage, solved: Session, settle: Settle, tmp_path: Path, monkeypatch
) -> None:
    asked = []

    def answer(parent, title: str, proposed: Path, kinds: str) -> tuple[Path, str]:
        asked.append((proposed.suffix, kinds.split(";;")[0]))
        return tmp_path / f"figure_{len(asked)}", figure_saving.KINDS[".tiff"]

    monkeypatch.setattr(files, "ask_where_to_save", answer)
    page.dpi.setValue(50)
    page.save_button.click()
    settle(solved)
    assert (tmp_path / "figure_1.tiff").exists()
    page.save_button.click()
    settle(solved)
    assert [suffix for suffix, _ in asked] == [".pdf", ".tiff"]
    assert asked[1][1] == figure_saving.KINDS[".tiff"]
