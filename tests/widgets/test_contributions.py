"""What napari's menus offer: the manifest, samples, readers, and each page alone."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from napari.layers import Points
from npe2 import PluginManifest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent

import napari_smoother
from napari_smoother.analyses.shown import View
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.io.h5ad import SeveralLibraries, write_h5ad
from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.tissue import IMAGE, SPOTS, obs_features, section_of
from napari_smoother.widgets import contributions, opening
from napari_smoother.widgets.contributions import show_dock
from napari_smoother.widgets.dock import SmootherDock
from napari_smoother.widgets.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_smoother.sample_data import Sample
    from napari_smoother.section import Section
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
    image, spots = window.open_sample("napari-smoother", key)
    section = session.study.section
    assert section is not None
    assert key in section.name.lower()
    assert list(window.layers)[:2] == [image, spots]
    assert session.scene.layer(SPOTS) is spots
    settle(session)
    assert session.study.composition is not None


@pytest.fixture
def saved(sample: Sample, tmp_path: Path) -> Path:
    path = tmp_path / "section.h5ad"
    adata, (image, *_) = sample.section.adata.copy(), sample.section.images
    scales = {"tissue_hires_scalef": image.scale, "spot_diameter_fullres": 90.0}
    pictures = {"images": {"hires": image.pixels}, "scalefactors": scales}
    adata.uns["spatial"] = {"slide": pictures}
    write_h5ad(adata, path)
    return path


def shown(window: napari.Viewer) -> list[str]:
    return sorted(layer.name for layer in window.layers)


def test_reader_returns_the_layers_at_once(window: napari.Viewer, saved: Path) -> None:
    image, spots = window.open(saved, plugin="napari-smoother")
    assert list(window.layers) == [image, spots]
    section = section_of(spots)
    assert section is not None
    assert section_of(image) is section
    assert (image.source.path, spots.source.reader_plugin) == (str(saved), "napari-smoother")
    np.testing.assert_array_equal(spots.data, section.positions[:, ::-1])
    scale = section.micrometres_per_pixel or 1.0
    np.testing.assert_allclose(spots.scale, [scale, scale])
    np.testing.assert_allclose(image.scale, [scale / section.images[0].scale] * 2)
    assert list(spots.features) == ["spot", *section.adata.obs.columns]
    assert list(spots.features["spot"]) == list(section.adata.obs_names)
    assert spots.features["region"].equals(section.adata.obs["region"].reset_index(drop=True))
    assert open_session(window) is None  # no page was asked for


def test_a_page_takes_over_what_a_reader_has_shown(
    window: napari.Viewer, saved: Path, settle: Settle
) -> None:
    other = window.add_points([[0.0, 0.0]], name="of somebody else")
    image, spots = window.open(saved, plugin="napari-smoother")
    session = show_dock(window).session
    assert list(window.layers) == [other, image, spots]
    assert session.study.section is section_of(spots)
    assert session.scene.layer(IMAGE) is image
    assert session.scene.layer(SPOTS) is spots
    assert not spots.editable
    session.scene.colour_by(View("obs", "region"))
    assert list(spots.features)[:2] == ["spot", "region"]
    session.scene.resize_spots(2.0)
    session.scene.fade_image(0.3)
    assert image.opacity == 0.3
    settle(session)


def test_reader_opens_in_the_page_that_is_there(
    window: napari.Viewer, session: Session, sample: Sample, saved: Path, settle: Settle
) -> None:
    session.study.open(sample.section)
    session.scene.change(edges=True)
    settle(session)
    image, spots = window.open(saved, plugin="napari-smoother")
    assert session.study.section is section_of(spots)
    assert section_of(spots) is not sample.section
    assert session.scene.layer(IMAGE) is image
    settle(session)
    assert [layer for layer in window.layers if section_of(layer) is not None] == [image, spots]
    again = window.open(saved, plugin="napari-smoother")
    settle(session)
    assert [layer for layer in window.layers if section_of(layer) is not None] == again


def test_fault_of_a_file_is_the_error_of_the_reader(
    window: napari.Viewer, session: Session, sample: Sample, tmp_path: Path, told: list[str]
) -> None:
    session.study.open(sample.section)
    path = tmp_path / "faulty.h5ad"
    path.write_bytes(b"no HDF5")
    before = list(window.layers)
    with pytest.raises(InputError, match=r"faulty\.h5ad"):
        window.open(path, plugin="napari-smoother")
    assert list(window.layers) == before
    assert session.study.section is sample.section
    assert not told  # by us: whoever called the reader tells it


def test_cancelled_reading_opens_nothing(
    window: napari.Viewer, session: Session, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(path: Path, **options: object) -> Section:
        raise Cancelled

    monkeypatch.setattr(contributions, "open_section", cancelled)
    assert window.open(saved, plugin="napari-smoother") == []
    assert not window.layers


@pytest.mark.parametrize("chosen", ["right", None])
def test_one_of_several_sections_is_asked_for(
    window: napari.Viewer, sample: Sample, saved: Path, monkeypatch: pytest.MonkeyPatch, chosen
) -> None:
    def several(path: Path, *, library: str | None = None, **options: object) -> Section:
        if library is None:
            raise SeveralLibraries(("left", "right"), where=str(path))
        return replace(sample.section, name=library)

    monkeypatch.setattr(contributions, "open_section", several)
    monkeypatch.setattr(opening, "ask_for_library", lambda path, libraries: chosen)
    layers = window.open(saved, plugin="napari-smoother")
    assert [section_of(layer).name for layer in layers] == ["right"] * (2 if chosen else 0)


def test_file_dropped_on_the_canvas_opens_once(
    window: napari.Viewer, session: Session, saved: Path, settle: Settle
) -> None:
    viewer = window.window._qt_viewer
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(saved))])
    drop = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        files,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.dropEvent(drop)
    settle(session)
    assert session.study.section is not None
    assert session.study.section.name == "section"
    assert shown(window) == ["section: image (hires)", "section: spots"]


def test_columns_of_any_name_become_features(
    window: napari.Viewer, session: Session, sample: Sample
) -> None:
    adata = sample.section.adata.copy()
    adata.obs["spot"] = np.arange(adata.n_obs)
    adata.obs["<b>x</b>"] = "a"
    section = replace(sample.section, adata=adata, name="<i>name</i>")
    for data, state, kind in contributions.layers_of(section):
        (layer,) = window._add_layer_from_data(data, state, kind)
    assert session.study.section is section
    assert as_text(layer.name) == layer.name
    assert list(layer.features["spot"]) == list(adata.obs_names)
    assert (layer.features["<b>x</b>"] == "a").all()
    session.scene.colour_by(View("obs", "spot"))
    assert list(layer.features["spot"]) == list(adata.obs_names)
    assert list(layer.features["value of spot"]) == list(range(adata.n_obs))


def test_columns_that_share_a_name_are_one_feature(sample: Sample) -> None:
    adata = sample.section.adata.copy()
    adata.obs = pd.concat([adata.obs, adata.obs[["region"]]], axis=1)
    features = obs_features(replace(sample.section, adata=adata))
    assert list(features).count("region") == 1


def test_colours_leave_other_features_alone(session: Session, sample: Sample) -> None:
    session.study.open(sample.section)
    spots = session.scene.layer(SPOTS)
    assert isinstance(spots, Points)
    columns = list(spots.features)
    kind = spots.features["region"].dtype
    spots.features = spots.features.assign(mine=1.0)
    gene = sample.section.adata.var_names[0]
    session.scene.colour_by(View("gene", gene))
    assert list(spots.features)[1].startswith(gene)
    session.scene.colour_by(View("obs", "region"))
    session.scene.colour_by(View("obs", "array_row"))
    assert sorted(spots.features) == sorted([*columns, "mine"])
    assert spots.features["region"].dtype == kind


def test_each_page_is_a_widget_of_its_own(
    window: napari.Viewer, session: Session, sample: Sample
) -> None:
    session.study.open(sample.section)
    for name in (kind.title for kind in SmootherDock.kinds):
        _, widget = window.window.add_plugin_dock_widget("napari-smoother", f"Smoother · {name}")
        assert widget.session is session
        assert f"{sample.section.n_spots:,} spots" in widget.header.text()
        window.window.remove_dock_widget(widget)


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
