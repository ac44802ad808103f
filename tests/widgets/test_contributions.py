"""What napari's menus offer: the manifest, samples, readers, and each page alone."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent

import napari_smoother
from napari_smoother.figures.panels import ClassKey
from napari_smoother.layers.print_out import DOMINANT_TYPE, ON_SCREEN, plan
from napari_smoother.widgets import contributions
from napari_smoother.widgets.figure_page import FigurePage

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

MANIFEST = Path(napari_smoother.__file__).with_name("napari.yaml")


def test_manifest_is_valid_and_linked_at_the_top() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))
    top = Path(__file__).resolve().parents[2] / "napari.yaml"
    assert top.resolve() == MANIFEST.resolve()


@pytest.mark.parametrize("key", ["cortex", "tumour"])
def test_samples_open_from_the_menu(
    window: napari.Viewer, session: Session, settle: Settle, key: str
) -> None:
    (truth,) = window.open_sample("napari-smoother", key)
    assert not truth.visible
    settle(session)
    assert session.study.section is not None
    assert key in session.study.section.name.lower()
    assert session.study.composition is not None


@pytest.mark.parametrize(
    "name", ["Data", "Graph", "Regions", "Deconvolve", "Reduce", "Impute", "Figure"]
)
def test_each_page_is_a_widget_of_its_own(
    window: napari.Viewer, session: Session, sample: Sample, name: str
) -> None:
    _, widget = window.window.add_plugin_dock_widget("napari-smoother", f"Smoother · {name}")
    assert widget.session is session
    session.study.open(sample.section)
    assert f"{sample.section.n_spots:,} spots" in widget.header.text()


def test_reader_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "image.tif").write_bytes(b"")
    assert contributions.get_reader(str(tmp_path / "image.tif")) is None
    assert contributions.get_reader(str(tmp_path)) is None
    assert contributions.get_reader([str(tmp_path / "a.h5ad"), str(tmp_path / "b.h5ad")]) is None


@pytest.mark.tissue
def test_reader_without_a_window_returns_layers(tissue: Path) -> None:
    folder = tissue / "visium_human_heart_tiny"
    reader = contributions.get_reader(str(folder))
    assert reader is not None
    layers = reader(str(folder))
    assert [kind for _, _, kind in layers] == ["image", "points"]
    assert layers[1][0].shape == (100, 2)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figure_page_writes_what_is_on_screen(
    qtbot: QtBot,
    dock: SmootherDock,
    solved: Session,
    settle: Settle,
    tmp_path: Path,
    ending: str,
) -> None:
    page = dock.turn_to(FigurePage)
    assert isinstance(page, FigurePage)
    path = tmp_path / f"figure.{ending}"
    page.dpi.setValue(100)
    page.save(path)
    settle(solved)
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(starts[ending])


def test_grid_of_types_genes_and_columns(
    dock: SmootherDock, solved: Session, settle: Settle, sample: Sample
) -> None:
    page = dock.turn_to(FigurePage)
    assert isinstance(page, FigurePage)
    composition = solved.study.composition
    assert composition is not None
    gene = sample.section.adata.var_names[0]
    page.tick(ON_SCREEN, DOMINANT_TYPE, composition.types[1], gene, "region")
    settings = page.settings()
    assert settings.contents == (ON_SCREEN, DOMINANT_TYPE, composition.types[1], gene, "region")
    figure = plan(solved.scene, settings).compose()
    texts = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    titles = texts + " ".join(text.get_text() for text in figure.texts)
    titles += " ".join(axes.get_title() for axes in figure.axes)
    for name in (DOMINANT_TYPE, composition.types[1], gene, "region"):
        assert name in titles
    page.preview()
    settle(solved)
    assert not page.picture.pixmap().isNull()


def test_print_has_the_colours_of_the_screen(solved: Session) -> None:
    from napari_smoother.layers.print_out import panel
    from napari_smoother.layers.scene import COMPOSITION

    printed = panel(solved.scene, ON_SCREEN)
    np.testing.assert_allclose(printed.colours, solved.scene.layer(COMPOSITION).face_color)
    assert isinstance(printed.key, ClassKey)
    assert printed.key == solved.scene.key


def test_no_panel_ticked_is_told(
    dock: SmootherDock, solved: Session, told: list[str], tmp_path: Path
) -> None:
    page = dock.turn_to(FigurePage)
    assert isinstance(page, FigurePage)
    for row in range(page.contents.count()):
        page.contents.item(row).setCheckState(Qt.CheckState.Unchecked)
    page.save(tmp_path / "nothing.png")
    assert any("No panel is ticked" in message for message in told)
    assert not list(tmp_path.iterdir())


@pytest.mark.tissue
def test_folder_dropped_on_the_dock_opens(
    dock: SmootherDock, session: Session, settle: Settle, tissue: Path
) -> None:
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(tissue / "visium_human_heart_tiny"))])
    middle = QPoint(dock.width() // 2, dock.height() // 2)
    copy, left, no_key = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier
    enter = QDragEnterEvent(middle, copy, files, left, no_key.NoModifier)
    dock.dragEnterEvent(enter)
    assert enter.isAccepted()
    dock.dropEvent(QDropEvent(QPointF(middle), copy, files, left, no_key.NoModifier))
    settle(session)
    assert session.study.section is not None
    assert session.study.section.n_spots == 100
