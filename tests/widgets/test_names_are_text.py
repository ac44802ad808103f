"""Names with HTML in them, which Qt would load pictures of the disk for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage
from qtpy.QtWidgets import QApplication, QLabel

from napari_smoother.analyses.regions import RegionClass
from napari_smoother.analyses.shown import View
from napari_smoother.errors import InputError
from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.notices import tell, tell_error, tell_warning
from napari_smoother.widgets.regions_page import RegionsPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.fixture
def evil(tmp_path: Path) -> str:
    """Return a name that is a picture."""
    picture = QImage(40, 40, QImage.Format.Format_RGB32)
    picture.fill(QColor(255, 0, 255))
    assert picture.save(str(tmp_path / "mark.png"))
    return f"<img src='{tmp_path / 'mark.png'}'>"


@pytest.fixture
def opened(session: Session, sample: Sample, evil: str, settle: Settle) -> Session:
    adata = sample.section.adata.copy()
    adata.obs[f"{evil}column"] = pd.Categorical([f"{evil}class"] * adata.n_obs)
    adata.obs_names = [f"{evil}{name}" for name in adata.obs_names]
    adata.var_names = [f"{evil}gene", *adata.var_names[1:]]
    cells = sample.reference.copy()
    cells.obs["cell_type"] = [f"{evil}{name}" for name in cells.obs["cell_type"]]
    session.study.open(replace(sample.section, adata=adata, name=f"{evil}section"))
    session.study.set_reference(Reference.from_cells(cells, "cell_type", f"{evil}reference"))
    settle(session)
    session.study.regions = session.study.regions.with_class(
        RegionClass(f"{evil}region", (1.0, 0.0, 0.0))
    )
    return session


def marked_up(evil: str) -> list[str]:
    """Return every text that a name has made HTML of."""
    QApplication.processEvents()
    found = []
    for widget in QApplication.allWidgets():
        texts = [widget.toolTip()]
        if isinstance(widget, QLabel) and widget.textFormat() != Qt.TextFormat.PlainText:
            texts.append(widget.text())
        for text in texts:
            if evil in text and Qt.mightBeRichText(text):
                found.append(f"{type(widget).__name__}: {text}")
    return found


def magenta(widget) -> bool:
    picture = widget.grab().toImage()
    return any(
        picture.pixelColor(x, y).getRgb()[:3] == (255, 0, 255)
        for x in range(0, picture.width(), 4)
        for y in range(0, picture.height(), 4)
    )


def test_no_name_is_ever_markup(
    window: napari.Viewer, dock: SmootherDock, opened: Session, evil: str, settle: Settle
) -> None:
    scene = opened.scene
    maps = {
        f"{evil}section": lambda: None,
        f"{evil}gene": lambda: scene.colour_by(View("gene", f"{evil}gene")),
        f"{evil}class": lambda: scene.colour_by(View("obs", f"{evil}column")),
        f"{evil}region": lambda: dock.turn_to(RegionsPage).coloured.click(),
        "proportion of": lambda: scene.show_type(opened.study.composition.types[0]),
        evil: lambda: scene.show_type(""),
        f"{evil}gene smoothed": lambda: dock.turn_to(ImputePage).gene.choose(f"{evil}gene"),
    }
    for name, show in maps.items():
        show()
        settle(opened)
        assert marked_up(evil) == [], name
        assert not magenta(dock), name
        shown = [label.text() for label in dock.findChildren(QLabel)]
        listed = dock.key.legend
        shown += [listed.item(row).text() for row in range(listed.count())]
        assert name == f"{evil}section" or any(name in text for text in shown), name
        for layer in window.layers:
            assert not Qt.mightBeRichText(layer.get_source_str()), name


def test_what_is_under_the_pointer_is_text(
    window: napari.Viewer, opened: Session, evil: str
) -> None:
    opened.scene.colour_by(View("obs", f"{evil}column"))
    spots = opened.scene.layer(SPOTS)
    status = spots.get_status(spots.data_to_world(spots.data[0]), world=True)
    assert evil in status["coordinates"]
    window.status = status
    bar = window.window._qt_window.statusBar()
    assert any(evil in label.text() for label in bar.findChildren(QLabel))
    assert marked_up(evil) == []
    window.tooltip.text = f"class: {evil}"
    assert window.tooltip.text == as_text(f"class: {evil}")
    assert not Qt.mightBeRichText(window.tooltip.text)


def test_notifications_are_text(opened: Session, evil: str, told: list[str]) -> None:
    tell(f"Saved {evil}")
    tell_warning(f"{evil}: left out")
    tell_error(InputError(f"There is no {evil}", where=evil, remedy="Choose another"))
    tell_error(KeyError(f"a{evil}"))
    assert len(told) == 4
    assert "KeyError: " in told[-1]
    for text in told:
        assert not Qt.mightBeRichText(text)
    assert marked_up(evil) == []


@pytest.mark.parametrize("text", ["a < b", "R&D", "Th1 <high>", "<b>", "x &lt; y", "</p>"])
def test_text_stays_text(text: str) -> None:
    shown = as_text(text)
    assert not Qt.mightBeRichText(shown)
    assert shown.replace("\u2060", "") == text
    assert as_text(shown) == shown
