"""A control changes the setting that it is for, and no other; numbers stay what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QLocale, QPoint, Qt

from napari_smoother.analyses.shown import Shown, View
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.sliders import LogSlider, NumberSlider

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.mark.parametrize("value", [0.00183, 0.9995, 1 / 3, 0.1 + 0.2, 7e-9])
def test_a_slider_keeps_the_number_it_was_set_to(qtbot: QtBot, value: float) -> None:
    for slider in (NumberSlider(0.0, 1.0), LogSlider(1e-3, 1e3)):
        qtbot.addWidget(slider)
        told: list[float] = []
        slider.value_changed.connect(told.append)
        slider.set_value(value)
        slider.field.setFocus()
        slider.field.clearFocus()
        slider.set_range(0.0, 0.9 if value < 0.9 else 1.0)
        assert slider.value() == pytest.approx(value, abs=1e-12)
        assert not told
    assert slider.field.text() == f"{value:.4g}"


def test_what_is_typed_is_what_is_set(qtbot: QtBot) -> None:
    slider = NumberSlider(0.0, 1.0)
    qtbot.addWidget(slider)
    told: list[float] = []
    slider.value_changed.connect(told.append)
    slider.field.selectAll()
    qtbot.keyClicks(slider.field, "0.00183")
    qtbot.keyClick(slider.field, Qt.Key.Key_Return)
    assert told == [0.00183]
    assert slider.value() == 0.00183


@pytest.mark.parametrize(
    ("text", "taken"),
    [("1,5", 1.5), ("0,125", 0.125), ("1e2", 100.0), ("1,000", 0.5), ("1.000,5", 0.5)],
)
@pytest.mark.parametrize("locale", ["C", "en_US", "de_DE"])
def test_no_comma_makes_another_number(qtbot: QtBot, text: str, taken: float, locale: str) -> None:
    slider = LogSlider(1e-3, 1e3)
    slider.field.setLocale(QLocale(locale))
    qtbot.addWidget(slider)
    slider.set_value(0.5)
    slider.field.selectAll()
    qtbot.keyClicks(slider.field, text)
    qtbot.keyClick(slider.field, Qt.Key.Key_Return)
    assert slider.value() == taken


def test_another_control_leaves_exact_numbers_alone(
    dock: SmootherDock, session: Session, sample: Sample, settle: Settle
) -> None:
    study = session.study
    study.open(sample.section)
    settle(session)
    impute, reduce = dock.page(ImputePage), dock.page(ReducePage)
    exact = {"lambda_": 0.001834567, "rho": 0.99954321}
    gene = sample.section.adata.var_names[0]
    study.recipe = replace(
        study.recipe,
        imputation=replace(study.recipe.imputation, gene=gene, held_out=0.123, **exact),
        reduction=replace(study.recipe.reduction, **exact, smoothing=0.0123456),
        autoencoder=replace(study.recipe.autoencoder, learning_rate=0.00234567),
        graph=replace(study.recipe.graph, radius=12.345678),
    )
    before = study.recipe
    dock.turn_to(ImputePage)
    impute.seed.setValue(5)
    dock.turn_to(ReducePage)
    reduce.genes.setValue(77)
    reduce.training.epochs.setValue(9)
    graph = dock.turn_to(GraphPage)
    graph.neighbours.setValue(7)
    settle(session)
    after = study.recipe
    assert after.imputation == replace(before.imputation, seed=5)
    data = replace(before.reduction.data, n_genes=77)
    assert after.reduction == replace(before.reduction, data=data)
    assert after.autoencoder == replace(before.autoencoder, epochs=9)
    assert after.graph == replace(before.graph, neighbours=7)


def test_showing_pages_changes_nothing(
    dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    study = solved.study
    study.deconvolution = replace(study.deconvolution, lambda_=0.001834567, rho=0.98765432)
    settle(solved)
    before = study.recipe
    for page in dock.pages:
        if not isinstance(page, ReducePage):
            dock.turn_to(type(page))
    settle(solved)
    assert replace(study.recipe, shown=Shown()) == replace(before, shown=Shown())
    study.undo()
    assert study.deconvolution.lambda_ == 0.2, "turning pages left no step behind"


def test_a_drag_is_one_step(
    qtbot: QtBot, dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    page = dock.turn_to(DeconvolvePage)
    slider, study = page.lambda_.slider, solved.study
    handle = QPoint(round(slider.width() * slider.value() / 1000), slider.height() // 2)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=handle)
    for step in range(1, 9):
        qtbot.mouseMove(slider, handle + QPoint(8 * step, 0))
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=handle + QPoint(64, 0))
    assert study.deconvolution.lambda_ > 0.2
    settle(solved)
    study.undo()
    assert study.deconvolution.lambda_ == 0.2
    assert not study.can_undo
    settle(solved)


def test_pages_show_what_undo_brings_back(
    dock: SmootherDock, solved: Session, settle: Settle
) -> None:
    study, scene, page = solved.study, solved.scene, dock.turn_to(DataPage)
    genes = solved.study.section.adata.var_names
    scene.colour_by(View("gene", genes[1], colormap="magma", low=5.0))
    scene.resize_spots(2.5)
    assert page.chosen_view() == View("gene", genes[1], colormap="magma", low=5.0)
    assert page.size.value() == 2.5
    scene.colour_by(View("gene", genes[2]))
    assert page.chosen_view() == View("gene", genes[2])
    study.undo()
    assert page.chosen_view() == View("gene", genes[1], colormap="magma", low=5.0)
    study.undo()
    assert page.size.value() == 1.0
    deconvolve = dock.turn_to(DeconvolvePage)
    deconvolve.map.setCurrentText("Uncertainty (standard deviation)")
    settle(solved)
    assert study.deconvolution.deviation
    study.undo()
    assert deconvolve.map.currentText() == "Proportions"
    assert not study.deconvolution.deviation
    graph = dock.turn_to(GraphPage)
    graph.everywhere.setChecked(True)
    study.undo()
    assert not graph.everywhere.isChecked()
    settle(solved)
