"""Forms of settings: one field, one change; exact numbers; only the hand is told of."""

from __future__ import annotations

from dataclasses import fields, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QWidget,
)

from napari_smoother.analyses.embedding_settings import (
    AutoencoderSettings,
    DomainSettings,
    ExpressionSettings,
    ReductionSettings,
)
from napari_smoother.analyses.field_descriptions import describe_fields
from napari_smoother.analyses.figure_settings import ON_SCREEN, FigureSettings
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.shown import View
from napari_smoother.widgets.accessible_names import controls_of, name_of
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.dock import SmootherDock
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.graph_page import GraphPage
from napari_smoother.widgets.impute_page import ImputePage
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.settings_form import PRIOR, NumberOrAutomatic, SettingsForm
from napari_smoother.widgets.sliders import LogSlider, NumberSlider

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

RECORDS = (
    GraphSettings,
    ReductionSettings,
    AutoencoderSettings,
    ExpressionSettings,
    DomainSettings,
    ImputationSettings,
    FigureSettings,
)
LIMITS: dict[str, tuple[float, float]] = {
    "rho": (0, 1),
    "boundary_connectivity": (0, 1),
    "held_out": (0, 0.9),
    "learning_rate": (1e-6, 1),
    "factor": (1, 10),
    "radius": (1e-3, 1e6),
    "expression_width": (1e-3, 10),
    "histology_width": (1e-3, 10),
    "histology_window": (1e-3, 1e6),
}


def values_of(name: str, kind: Any) -> st.SearchStrategy[Any]:
    """Return the values a field may have."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if NoneType in get_args(kind):
        return st.none() | values_of(name, next(k for k in get_args(kind) if k is not NoneType))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(1, 10_000)
    low, high = LIMITS.get(name, (0, 1e6))
    return st.floats(low, high, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-12)


@st.composite
def two_of_a_kind(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw two records of settings."""
    kind = draw(st.sampled_from(RECORDS))
    types = get_type_hints(kind)
    names = list(SettingsForm(kind()).widgets)
    return tuple(
        kind(**{name: draw(values_of(name, types[name])) for name in names}) for _ in range(2)
    )


def heard_of(form: SettingsForm[Any]) -> list[tuple[str, Any]]:
    heard: list[tuple[str, Any]] = []
    form.valueChanged.connect(lambda field, value: heard.append((field, value)))
    return heard


def touch(widget: QWidget, value: Any) -> None:
    """Set a value as the hand does."""
    if isinstance(widget, QComboBox):
        widget.setCurrentIndex(widget.findData(value))
    elif isinstance(widget, QAbstractButton):
        widget.setChecked(value)
    elif isinstance(widget, NumberOrAutomatic):
        widget.automatic.setChecked(value is None)
        if value is not None:
            touch(widget.number, value)
    elif isinstance(widget, NumberSlider):
        widget.field.setValue(value)
    else:
        widget.setValue(value if value is not None else widget.minimum())


@given(two_of_a_kind())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_touch_changes_one_field_and_showing_tells_nothing(
    qapp: Any, two: tuple[Any, Any]
) -> None:
    first, second = two
    form = SettingsForm(first)
    heard = heard_of(form)
    assert form.value == first
    for name, widget in form.widgets.items():
        assert widget.value == getattr(first, name), name
    form.setValue(second)
    assert not heard
    assert form.value == second
    for name, widget in form.widgets.items():
        assert widget.value == getattr(second, name), name
    present = second
    for name in form.widgets:
        heard.clear()
        touch(form[name], getattr(first, name))
        for field, value in heard:
            assert field == name
            present = replace(present, **{field: value})
        form.setValue(present)
        others = {each.name for each in fields(second)} - set(form.widgets)
        assert all(getattr(present, other) == getattr(second, other) for other in others)
    assert present == replace(first, **{name: getattr(second, name) for name in others})


@pytest.mark.parametrize("kind", RECORDS)
def test_every_field_has_its_description(qapp: Any, kind: type[Any]) -> None:
    described = describe_fields(kind)
    form = SettingsForm(kind())
    assert form.widgets
    for name in form.widgets:
        assert described[name]
        assert " ".join(form[name].toolTip().split()) == described[name]


def test_a_slider_holds_what_it_shows_exactly(qtbot: QtBot) -> None:
    slider = LogSlider(1e-3, 1e3)
    qtbot.addWidget(slider)
    heard: list[float] = []
    slider.value_changed.connect(heard.append)
    for value in (0.00183, 1 / 3, 0.0, 2e5, 1e-9):
        slider.set_value(value)
        assert slider.value() == value
        assert slider.field.text() == f"{value:.4g}"
        QTest.keyClick(slider.field, Qt.Key.Key_Return)
        assert slider.value() == value, "it took the rounded text for a number"
    assert not heard
    slider.set_value(1.0)
    slider.field.selectAll()
    QTest.keyClicks(slider.field, "0.00183")
    QTest.keyClick(slider.field, Qt.Key.Key_Return)
    assert heard == [slider.value()] == [0.00183]
    assert slider.field.text() == "0.00183"


def test_a_slider_tells_when_it_is_held(qtbot: QtBot) -> None:
    slider = NumberSlider(0.0, 1.0)
    qtbot.addWidget(slider)
    held: list[bool] = []
    slider.held.connect(held.append)
    slider.slider.setSliderDown(True)
    slider.slider.setSliderDown(False)
    assert held == [True, False]


# In the window


@pytest.fixture
def open_dock(dock: SmootherDock, session: Session, sample: Sample, settle: Settle) -> Any:
    session.study.open(sample.section)
    settle(session)
    return dock


def test_chosen_numbers_survive_a_touch_of_another_field(
    open_dock: SmootherDock, session: Session
) -> None:
    study = session.study
    exact = {"lambda_": 0.00183, "rho": 0.9995}
    study.recipe = replace(
        study.recipe,
        deconvolution=replace(study.recipe.deconvolution, **exact),
        reduction=replace(study.recipe.reduction, **exact, smoothing=1 / 3),
        imputation=replace(study.recipe.imputation, **exact, held_out=0.123),
        autoencoder=replace(study.recipe.autoencoder, learning_rate=1.23456e-5),
        graph=replace(study.recipe.graph, radius=123.456789),
    )
    deconvolve, reduce, impute, graph = (
        open_dock.page(kind) for kind in (DeconvolvePage, ReducePage, ImputePage, GraphPage)
    )
    for page in (deconvolve, reduce, impute):
        open_dock.turn_to(type(page))
        assert page.lambda_.value() == 0.00183
        assert page.rho.value() == 0.9995
        assert page.rho.field.text() == "0.9995"
    before = study.recipe
    reduce.components.setValue(7)
    impute.seed.setValue(5)
    reduce.training.epochs.setValue(33)
    graph.neighbours.setValue(9)
    deconvolve.model_panel.nonneg.toggle()
    assert study.recipe == replace(
        before,
        deconvolution=replace(before.deconvolution, nonneg=not before.deconvolution.nonneg),
        reduction=replace(before.reduction, components=7),
        imputation=replace(before.imputation, seed=5),
        autoencoder=replace(before.autoencoder, epochs=33),
        graph=replace(before.graph, neighbours=9),
    )


def test_pages_show_what_undo_brings_back(
    open_dock: SmootherDock, session: Session, settle: Settle, sample: Sample
) -> None:
    study = session.study
    data, graph, deconvolve, figure = (
        open_dock.page(kind) for kind in (DataPage, GraphPage, DeconvolvePage, FigurePage)
    )
    gene = str(sample.section.adata.var_names[3])
    first = study.recipe
    session.scene.colour_by(View("gene", gene, low=5.0, high=90.0, colormap="magma"))
    assert data.name.currentText() == gene
    assert data.colormap.currentText() == "magma"
    assert data.percentiles.value() == (5.0, 90.0)
    session.scene.resize_spots(1.57)
    session.scene.fade_image(0.4321)
    assert (data.size.value(), data.image.value()) == (1.57, 0.4321)
    open_dock.turn_to(DeconvolvePage)
    session.scene.show_quantity("misfit")
    assert deconvolve.map.currentIndex() == 2
    open_dock.turn_to(GraphPage)
    session.scene.change(edges=True, edges_with_graph=False)
    assert graph.everywhere.isChecked()
    assert not graph.edges.isChecked()
    open_dock.turn_to(FigurePage)
    figure.columns.setValue(3)
    figure.width_mm.setValue(85.5)
    figure.edges.click()
    figure.tick(ON_SCREEN, gene)
    assert study.recipe.figure == FigureSettings((ON_SCREEN, gene), 3, 85.5, edges=True)
    while study.can_undo:
        study.undo()
    assert study.recipe == first
    assert (figure.columns.value(), figure.width_mm.value()) == (0, 180.0)
    assert not figure.edges.isChecked()
    assert figure.settings() == FigureSettings()
    open_dock.turn_to(DataPage)
    assert data.name.currentText() == "(one colour)"
    assert (data.size.value(), data.image.value()) == (1.0, 1.0)
    open_dock.turn_to(DeconvolvePage)
    assert deconvolve.map.currentIndex() == 0
    open_dock.turn_to(GraphPage)
    assert not graph.everywhere.isChecked()
    assert graph.edges.isChecked()
    settle(session)


def test_pages_of_analyses_show_the_picture_that_undo_brings_back(
    open_dock: SmootherDock, session: Session, sample: Sample, settle: Settle
) -> None:
    study = session.study
    reduce, impute = open_dock.turn_to(ReducePage), open_dock.page(ImputePage)
    settle(session)
    reduce.map.setCurrentIndex(1)
    reduce.channels[2].setValue(5)
    assert study.recipe.shown.reduction.channels == (0, 1, 4)
    study.undo()
    assert reduce.channels[2].value() == 3
    study.undo()
    assert reduce.map.currentIndex() == 0
    assert not reduce.channel_row.isVisible()
    open_dock.turn_to(ImputePage)
    impute.gene.choose(str(sample.section.adata.var_names[0]))
    settle(session)
    impute.map_buttons["difference"].click()
    assert not impute.own_limits.isEnabled()
    steps = study.recipe
    impute.hold.pressed.emit()
    assert study.recipe.shown.imputation.what == "raw"
    impute.hold.released.emit()
    assert study.recipe == steps
    study.undo()
    assert impute.map_buttons["smoothed"].isChecked()
    settle(session)


def test_the_radius_can_be_left_to_the_computer_again(
    open_dock: SmootherDock, session: Session, settle: Settle
) -> None:
    graph = open_dock.turn_to(GraphPage)
    radius = graph.form["radius"]
    graph.rule.setCurrentIndex(1)
    settle(session)
    found = graph.radius.value()
    assert found > 1
    assert session.study.graph_settings.radius is None
    graph.radius.setValue(found * 2)
    assert session.study.graph_settings.radius == found * 2
    radius.automatic.click()
    settle(session)
    assert session.study.graph_settings.radius is None
    assert graph.radius.value() == found


def test_every_control_says_what_it_does(open_dock: SmootherDock) -> None:
    for page in map(open_dock.page, SmootherDock.kinds):
        controls = controls_of(page)
        assert controls, page.title
        silent = [name_of(control) for control in controls if not _tip(control, page)]
        assert silent == [], page.title


def _tip(control: QWidget, page: QWidget) -> str:
    """Return the tooltip over a control: its own, or that of what it is a part of."""
    while control is not page:
        if control.toolTip():
            return control.toolTip()
        control = control.parentWidget()
    return ""


def test_a_choice_that_is_not_offered_is_shown(qapp: Any) -> None:
    form = SettingsForm(ImputationSettings(), PRIOR)
    heard = heard_of(form)
    form.setValue(ImputationSettings(process="sar"))
    assert form["process"].currentText() == "sar"
    assert form.widgets["process"].value == "sar"
    assert not heard


def test_the_prior_is_the_same_on_every_page() -> None:
    assert list(PRIOR) == ["process", "rho", "lambda_"]
    for record in (Recipe().deconvolution, Recipe().reduction, Recipe().imputation):
        assert set(PRIOR) <= {field.name for field in fields(record)}
