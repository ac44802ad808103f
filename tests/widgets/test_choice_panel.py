"""The automatic choice: what it says of itself, and its curve under the mouse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QToolTip

from napari_smoother.models.judged_choice import Choice, judge
from napari_smoother.widgets.deconvolve_page import DeconvolvePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_smoother.widgets.choice_panel import ChoicePanel
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(dock: SmootherDock, solved: Session) -> ChoicePanel:
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    return page.choice


@pytest.fixture
def smooth() -> Choice:
    """Lambda 10 at rho 0.9 by a gain of 2 %, which leaves 4 % of the variance."""
    errors = np.array([[[1.02, 1.03], [1.01, 1.02], [1.0, 1.01], [1.4, 1.5]]])
    chosen = judge(errors, np.array([0.9]), np.array([0.1, 1.0, 10.0, 100.0]), "icar", 1.0)
    variances = np.array([[0.01, 0.01], [0.0004, 0.0004]])
    return replace(chosen, types=("<b>T</b>", "B"), variances=variances)


def point(panel: ChoicePanel, lambda_: float) -> QPoint:
    return QPoint(round(panel.curve.place_of(lambda_)), panel.curve.height() // 2)


def test_gain_and_loss_stand_beside_the_choice(panel: ChoicePanel, smooth: Choice) -> None:
    panel._on_choice((smooth, []))
    assert panel.text.text() == smooth.describe()
    assert (
        "4 % of the variance over spots is left (least of <b>T</b> 4 %, B 4 %)"
        in panel.text.text()
    )
    assert panel.text.textFormat() == panel.caveat.textFormat() == Qt.TextFormat.PlainText
    assert panel.caveat.isVisible()
    assert panel.caveat.text() == smooth.caveat != ""
    chosen = panel.study.deconvolution
    assert (chosen.rho, chosen.lambda_) == (0.9, 10.0)
    modest = replace(smooth, variances=np.ones((2, 2)))
    panel._on_choice((modest, []))
    assert not panel.caveat.isVisible()


def test_a_click_on_the_curve_takes_its_lambda_and_rho(
    qtbot: QtBot,
    panel: ChoicePanel,
    smooth: Choice,
    solved: Session,
    settle: Callable[[Session], None],
) -> None:
    panel._on_choice((smooth, []))
    study = solved.study
    study.deconvolution = replace(study.deconvolution, rho=0.5, lambda_=3.0)
    assert "In use" not in panel.text.text()
    qtbot.mouseClick(panel.curve, LEFT, pos=point(panel, 1.0) + QPoint(3, 0))
    chosen = study.deconvolution
    assert (chosen.process, chosen.rho, chosen.lambda_) == ("icar", 0.9, 1.0)
    assert panel.text.text().endswith("In use: λ 1: error higher by 1 ± 0 %.")
    settle(solved)
    assert study.composition is not None
    assert study.composition.settings.lambda_ == 1.0
    qtbot.mouseClick(panel.curve, LEFT, pos=point(panel, 10.0))
    assert study.deconvolution.lambda_ == 10.0
    assert panel.text.text() == smooth.describe()
    qtbot.mouseClick(panel.curve, Qt.MouseButton.RightButton, pos=point(panel, 1.0))
    assert study.deconvolution.lambda_ == 10.0


def test_the_curve_tells_its_values(
    qtbot: QtBot, panel: ChoicePanel, smooth: Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(QToolTip, "showText", lambda place, text, widget: said.append(text))
    panel._on_choice((smooth, []))
    # Below the fold it would be a choice without its reasons.
    qtbot.waitUntil(lambda: panel.curve.visibleRegion().boundingRect() == panel.curve.rect())
    qtbot.mouseMove(panel.curve, point(panel, 100.0))
    qtbot.mouseMove(panel.curve, point(panel, 10.0))
    qtbot.waitUntil(lambda: bool(said) and said[-1] == "λ 10: error lowest")


@pytest.mark.tissue
def test_the_lymph_node_in_the_window(
    dock: SmootherDock,
    session: Session,
    settle: Callable[[Session], None],
    tissue: Path,
    told: list[str],
    qtbot: QtBot,
) -> None:
    from napari_smoother.widgets import opening

    folder = tissue / "visium_human_lymph_node"
    opening.open_path(session, folder / "lymph_node_visium_1000spots.h5ad")
    settle(session)
    page = dock.turn_to(DeconvolvePage)
    assert isinstance(page, DeconvolvePage)
    opening.ask_and_open_reference(page.session, folder / "lymph_node_reference_330cells.h5ad")
    settle(session)
    page.choice.choose()
    qtbot.waitUntil(lambda: not page.choice.runner.is_busy, timeout=180_000)
    assert page.choice.caveat.text().startswith("Little was gained and much was smoothed")
    assert "λ 0.001 the error is lower by 1.4 ± 0.3 %" in page.choice.text.text()
    assert "% of the variance over spots is left" in page.choice.text.text()
    assert told.count(f"{page.choice.caveat.text()} {page.choice.text.text()}") == 1
