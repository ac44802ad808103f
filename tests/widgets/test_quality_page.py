"""The Quality page in the real window: handles, fields, what goes, and undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_smoother.analyses.quality_settings import METRICS, QualitySettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.figures.colours import MISSING
from napari_smoother.layers.spot_map import table_of
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.quality_page import QualityPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.analyses.quality import SpotMetrics
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.sample_data import Sample
    from napari_smoother.section import Section
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.limit_histogram import LimitHistogram
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def section() -> Section:
    section = simulate_cortex(rows=24, n_genes=120, seed=3, image_size=400).section
    section.adata.var_names = [*section.adata.var_names[:-2], "MT-CO1", "MT-ND4"]
    return section


@pytest.fixture
def page(dock: SmootherDock, session: Session, section: Section, settle: Settle) -> QualityPage:
    session.study.open(section)
    settle(session)
    page = dock.turn_to(QualityPage)
    assert isinstance(page, QualityPage)
    settle(session)
    return page


def metrics(page: QualityPage) -> SpotMetrics:
    assert page.analysis.result is not None
    return page.analysis.result.metrics


def press(histogram: LimitHistogram, handle: str, share: float) -> QPoint:
    """Take a handle and move it to a share of the way along the axis; return where it is."""
    start, frame = histogram.place_of(handle).toPoint(), histogram._frame()
    end = QPoint(round(frame.left() + share * frame.width()), start.y())
    QTest.mousePress(histogram, LEFT, pos=start)
    QTest.mouseMove(histogram, (start + end) / 2)
    QTest.mouseMove(histogram, end)
    return end


def drag(histogram: LimitHistogram, handle: str, share: float) -> None:
    QTest.mouseRelease(histogram, LEFT, pos=press(histogram, handle, share))


def type_limit(field, text: str) -> None:
    field.setFocus()
    field.selectAll()
    QTest.keyClick(field, Qt.Key.Key_Delete)
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


def grey(session: Session) -> np.ndarray:
    """Which spots of the map in front are drawn as left out."""
    layer = session.scene.layer(session.scene.stage)
    assert layer.visible
    return (np.asarray(layer.face_color) == np.float32(MISSING)).all(axis=1)


def test_metrics_are_on_the_map_and_in_histograms(
    page: QualityPage, session: Session, settle: Settle
) -> None:
    layer = session.scene.layer("quality")
    for metric in METRICS:
        QTest.mouseClick(page.map_buttons[metric], LEFT)
        settle(session)
        assert session.scene.shown.quality == metric
        values = metrics(page).values(metric)
        np.testing.assert_allclose(layer.features[layer.name], values)
        assert page.rows[metric].histogram.isVisible()
        assert metrics(page).histograms[metric].numbers.sum() == len(values)
    assert page.recognised.text() == "2 genes: MT-CO1, MT-ND4"
    assert not session.study.can_undo, "what is shown is no step"


def test_spots_that_would_go_are_seen_while_the_hand_moves(
    page: QualityPage, session: Session, settle: Settle
) -> None:
    row, study = page.rows["counts"], session.study
    end = press(row.histogram, "low", 0.5)
    limit = row.low.value()
    gone = metrics(page).counts < limit
    assert 0 < gone.sum() < len(gone)
    np.testing.assert_array_equal(grey(session), gone)
    assert row.beyond.text() == f"{gone.sum():,} below"
    assert page.total.text().startswith(f"{gone.sum():,} of {len(gone):,} spots left out")
    assert study.recipe.quality == QualitySettings(), "nothing is decided before it is let go"
    QTest.mouseRelease(row.histogram, LEFT, pos=end)
    assert study.recipe.quality == QualitySettings(min_counts=limit)
    settle(session)
    np.testing.assert_array_equal(grey(session), gone)
    np.testing.assert_array_equal(study.quality_analysis.result.kept, ~gone)
    layer = session.scene.layer("quality")
    shown = layer.features[layer.name].to_numpy()
    np.testing.assert_allclose(shown, metrics(page).counts, err_msg="under the pointer")
    np.testing.assert_array_equal(table_of(layer)["passes_quality"], ~gone)
    degrees = np.diff(study.graph.weights.indptr)
    assert not degrees[gone].any()
    assert session.status.text == f"{(~gone).sum():,} of {len(gone):,} spots are kept"


def test_one_drag_is_one_step_and_undo_brings_the_spots_back(
    page: QualityPage, session: Session, settle: Settle, dock: SmootherDock
) -> None:
    row, study = page.rows["genes"], session.study
    whole = study.graph.summary.n_edges
    drag(row.histogram, "high", 0.6)
    settle(session)
    assert isinstance(study.recipe.quality.max_genes, int)
    assert study.graph.summary.n_edges < whole
    assert "spots" in dock.header.text()
    assert " of " in dock.header.text()
    QTest.mouseClick(dock.undo, LEFT)
    settle(session)
    assert study.recipe.quality == QualitySettings()
    assert study.graph.summary.n_edges == whole
    assert not grey(session).any()
    assert row.high.text() == ""
    assert row.histogram.place_of("high").x() == row.histogram._frame().right()
    assert " of " not in dock.header.text()
    QTest.mouseClick(dock.redo, LEFT)
    settle(session)
    assert study.recipe.quality.max_genes is not None
    assert row.high.value() == study.recipe.quality.max_genes


def test_fields_are_exact(page: QualityPage, session: Session, settle: Settle) -> None:
    row, study = page.rows["mitochondrial"], session.study
    type_limit(row.high, "3.1415926535")
    assert study.recipe.quality.max_mitochondrial == 3.1415926535
    settle(session)
    gone = metrics(page).mitochondrial > 3.1415926535
    assert row.beyond.text() == f"{gone.sum():,} above"
    place = row.histogram.place_of("high").x()
    assert place < row.histogram._frame().right()
    type_limit(row.high, "")
    assert study.recipe.quality.max_mitochondrial is None


@pytest.mark.parametrize("text", ["-3", "many", "1,500", "2.5"])
def test_what_cannot_be_a_limit_is_told(
    page: QualityPage, session: Session, told: list[str], text: str
) -> None:
    type_limit(page.rows["genes"].low, text)
    assert session.study.recipe.quality == QualitySettings()
    assert page.rows["genes"].low.text() == ""
    assert len(told) == 1
    assert "cannot be a limit" in told[0]


def test_limits_that_leave_no_spot_are_refused(
    page: QualityPage, session: Session, told: list[str], settle: Settle
) -> None:
    type_limit(page.rows["counts"].low, "1000000")
    assert session.study.recipe.quality == QualitySettings()
    assert any("None of" in message for message in told)
    assert page.rows["counts"].low.text() == ""
    middle = float(np.median(metrics(page).counts))
    type_limit(page.rows["counts"].high, f"{middle:g}")
    assert session.study.recipe.quality.max_counts == middle
    type_limit(page.rows["counts"].low, f"{middle + 1:g}")
    assert session.study.recipe.quality.min_counts is None
    assert "above the most" in told[-1]


def test_handles_do_not_pass_each_other(page: QualityPage, session: Session) -> None:
    row = page.rows["counts"]
    drag(row.histogram, "low", 0.4)
    drag(row.histogram, "high", 0.1)
    limits = session.study.recipe.quality
    assert limits.max_counts == limits.min_counts or limits.max_counts is None
    drag(row.histogram, "low", -0.2)
    assert session.study.recipe.quality.min_counts is None, "the end of the axis is no limit"


def test_nothing_happens_beside_the_handles(page: QualityPage, session: Session) -> None:
    histogram = page.rows["counts"].histogram
    middle = histogram._frame().center().toPoint()
    QTest.mouseClick(histogram, LEFT, pos=middle)
    QTest.mousePress(histogram, Qt.MouseButton.RightButton, pos=middle)
    QTest.mouseMove(histogram, middle + QPoint(30, 0))
    QTest.mouseRelease(histogram, Qt.MouseButton.RightButton, pos=middle)
    assert session.study.recipe.quality == QualitySettings()


def test_an_unknown_share_is_said(page: QualityPage, session: Session, settle: Settle) -> None:
    drag(page.rows["mitochondrial"].histogram, "high", 0.5)
    settle(session)
    page.prefix.selectAll()
    QTest.keyClicks(page.prefix, "mt.")
    QTest.keyClick(page.prefix, Qt.Key.Key_Return)
    settle(session)
    assert session.status.kind == "failed"
    assert "no gene of the section has a symbol" in session.status.text
    type_limit(page.rows["mitochondrial"].high, "")
    settle(session)
    assert page.recognised.text() == "No gene: the share is not known here"
    assert not page.map_buttons["mitochondrial"].isEnabled()
    assert not page.rows["mitochondrial"].histogram.isVisible()
    assert session.scene.shown.quality == "counts"


def test_keep_all_takes_every_limit_away(
    page: QualityPage, session: Session, settle: Settle
) -> None:
    assert not page.all.isEnabled()
    drag(page.rows["counts"].histogram, "low", 0.3)
    drag(page.rows["genes"].histogram, "high", 0.7)
    settle(session)
    QTest.mouseClick(page.all, LEFT)
    settle(session)
    assert session.study.recipe.quality == QualitySettings()
    assert page.total.text().startswith("0 of")
    session.study.undo()
    assert session.study.recipe.quality.are_limits


def test_a_spot_that_is_left_out_has_no_composition(
    dock: SmootherDock,
    solved: Session,
    reference: Reference,
    sample: Sample,
    settle: Settle,
) -> None:
    page = dock.turn_to(QualityPage)
    settle(solved)
    drag(page.rows["counts"].histogram, "low", 0.5)
    settle(solved)
    kept = solved.study.quality_analysis.result.kept
    dock.turn_to(DeconvolvePage)
    settle(solved)
    composition = solved.study.composition
    assert solved.study.is_up_to_date
    np.testing.assert_array_equal(np.isnan(composition.proportions[:, 0]), ~kept)
    solved.scene.show_type(composition.types[0])
    np.testing.assert_array_equal(grey(solved), ~kept)
    page = dock.page(DeconvolvePage)
    page.lambda_.slider.setValue(page.lambda_.slider.value() + 50)
    settle(solved)
    np.testing.assert_array_equal(
        np.isnan(solved.study.composition.proportions[:, 0]), ~kept, "also when lambda moves"
    )


def test_another_section_has_no_limits_of_this_one(
    page: QualityPage, session: Session, sample: Sample, settle: Settle
) -> None:
    drag(page.rows["counts"].histogram, "low", 0.5)
    settle(session)
    limits = session.study.recipe.quality
    assert limits.are_limits
    session.study.open(sample.section, beside=True)
    settle(session)
    assert session.study.recipe.quality == QualitySettings()
    assert page.total.text() == f"0 of {sample.section.n_spots:,} spots left out (0.0%)"
    session.study.switch_to(0)
    settle(session)
    assert session.study.recipe.quality == limits
    assert not page.total.text().startswith("0 of")


def test_limits_of_a_session_are_shown_when_it_is_opened(
    dock: SmootherDock, session: Session, section: Section, settle: Settle
) -> None:
    low = float(np.median(np.asarray(section.adata.X.sum(axis=1))))
    recipe = Recipe(quality=QualitySettings(min_counts=low))
    session.study.open(section, SessionRecord(recipe))
    settle(session)
    page = dock.turn_to(QualityPage)
    settle(session)
    assert page.rows["counts"].low.value() == low
    assert grey(session).any()
