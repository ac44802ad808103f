"""The Compare page in the real window: tables that sort and copy, and genes linked to the map."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest

from napari_smoother.analyses.gene_values import SCALE, log_expression
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.layers.scene import COMPOSITION, DATA, REGIONS
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study import ranked_genes
from napari_smoother.widgets import files
from napari_smoother.widgets.compare_page import ComparePage
from napari_smoother.widgets.dock import CompareWidget, SmootherDock
from napari_smoother.widgets.reduce_page import ReducePage
from napari_smoother.widgets.sorted_table import Column, SortedTable
from napari_smoother.widgets.volcano import Volcano

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

LEFT = Qt.MouseButton.LeftButton
ODD = "deep & <b>"


def halves(session: Session) -> Regions:
    """Return two regions, each a third of the section, with spots in neither between them."""
    positions = session.study.section.positions
    (left, bottom), (right, top) = positions.min(axis=0), positions.max(axis=0)
    third = (top - bottom) / 3
    regions = Regions((RegionClass("upper", (1.0, 0.0, 0.0)), RegionClass(ODD, (0.0, 0.0, 1.0))))
    return regions.with_shapes(
        RegionShape(
            name,
            np.array([(left, low), (right, low), (right, low + third), (left, low + third)]),
        )
        for name, low in (("upper", bottom), (ODD, top - third))
    )


@pytest.fixture
def small() -> Sample:
    return simulate_cortex(rows=16, n_genes=80, seed=7, image_size=400)


@pytest.fixture
def page(dock: SmootherDock, session: Session, small: Sample, settle: Settle) -> ComparePage:
    """A page with two regions, and no composition."""
    session.study.open(small.section)
    session.study.regions = halves(session)
    settle(session)
    page = dock.turn_to(ComparePage)
    assert isinstance(page, ComparePage)
    settle(session)
    return page


@pytest.fixture
def compared(solved: Session, dock: SmootherDock, settle: Settle) -> ComparePage:
    """A page with two regions and a composition."""
    solved.study.regions = halves(solved)
    settle(solved)
    page = dock.turn_to(ComparePage)
    settle(solved)
    assert page.comparison.result is not None
    return page


@pytest.fixture
def ranked(page: ComparePage, qtbot: QtBot, session: Session, settle: Settle) -> ComparePage:
    """A page with genes of the upper region against the other."""
    pytest.importorskip("scanpy", reason="the extra genes is not installed")
    choose(page.group, "upper")
    choose(page.reference, ODD)
    page.parts.setCurrentIndex(1)
    qtbot.mouseClick(page.genes.rank, LEFT)
    settle(session)
    assert page.ranking.result is not None
    return page


def choose(box, text: str) -> None:
    """Choose a line of a list, as a hand does."""
    place = box.findText(text)
    assert place >= 0, text
    box.setCurrentIndex(place)
    box.activated.emit(place)


def listed(table: SortedTable, key: str) -> list:
    return [table.rows.table[key].iloc[row] for row in table.rows.order]


def click(table: SortedTable, row: int) -> None:
    place = table.visualRect(table.rows.index(row, 0)).center()
    QTest.mouseClick(table.viewport(), LEFT, pos=place)


# What is compared


def test_an_empty_page_says_what_to_do(
    dock: SmootherDock, session: Session, small: Sample, settle: Settle
) -> None:
    page = dock.turn_to(ComparePage)
    assert not page.isEnabled()
    session.study.open(small.section)
    settle(session)
    assert "Draw two regions" in page.types.message.text()
    assert "Reduce" in page.types.message.text()
    assert not page.genes.rank.isEnabled()
    session.study.regions = halves(session)
    settle(session)
    assert "Deconvolve" in page.types.message.text(), "genes can be ranked without a composition"
    assert page.genes.rank.isEnabled() or page.ranking.missing
    only = session.study.regions.without_class("upper")
    session.study.regions = only
    assert "count the spots in no region" in page.types.message.text()
    page.unassigned.click()
    assert "Deconvolve" in page.types.message.text()
    choose(page.groups, "Domains of the spatial PCA")
    assert "Reduce page" in page.types.message.text()


def test_regions_are_compared_as_they_are_drawn(
    compared: ComparePage, session: Session, settle: Settle
) -> None:
    table = compared.types.table
    assert set(listed(table, "region")) == {"upper", ODD}
    assert "2 regions" in compared.types.summary.text()
    before = compared.comparison.result
    fewer = session.study.regions.shapes[0]
    session.study.regions = session.study.regions.with_shapes(
        [replace(fewer, vertices=fewer.vertices * 0.9), session.study.regions.shapes[1]]
    )
    settle(session)
    assert compared.comparison.result is not before
    assert listed(table, "n_spots") != list(before.differences["n_spots"])
    session.study.undo()
    settle(session)
    pd.testing.assert_frame_equal(table.rows.table, before.differences)


def test_one_against_another_and_back(
    compared: ComparePage, session: Session, settle: Settle
) -> None:
    assert not compared.reference.isEnabled()
    choose(compared.group, ODD)
    settle(session)
    assert session.study.recipe.comparison.pairs == ((ODD, ""),)
    assert "all others together" in compared.types.summary.text()
    choose(compared.reference, "upper")
    settle(session)
    assert set(listed(compared.types.table, "reference")) == {"upper"}
    assert f"{ODD} (" in compared.types.summary.text()
    places = {column.key: place for place, column in enumerate(compared.types.table.rows.columns)}
    assert compared.types.table.isColumnHidden(places["region"])
    session.study.undo()
    session.study.undo()
    settle(session)
    assert session.study.recipe.comparison.pairs == ()
    assert compared.group.currentIndex() == 0
    assert not compared.types.table.isColumnHidden(places["region"])


def test_classes_of_a_column_are_compared_and_shown(
    compared: ComparePage, session: Session, settle: Settle
) -> None:
    steps = session.study.recipe
    choose(compared.groups, "Column region")
    settle(session)
    assert set(listed(compared.types.table, "region")) == set(
        session.study.section.adata.obs["region"].astype(str)
    )
    view = session.scene.shown.view
    assert (session.scene.stage, view.source, view.key) == (DATA, "obs", "region")
    session.study.undo()
    assert session.study.recipe == steps, "groups and map are one step"
    choose(compared.groups, "Regions drawn or imported")
    assert session.scene.stage == REGIONS


def test_domains_are_compared(
    compared: ComparePage, dock: SmootherDock, session: Session, settle: Settle
) -> None:
    reduce = dock.turn_to(ReducePage)
    reduce.components.setValue(4)
    reduce.domains.setValue(3)
    reduce.map.setCurrentText("Spatial domains")
    settle(session)
    dock.turn_to(ComparePage)
    choose(compared.groups, "Domains of the spatial PCA")
    settle(session)
    assert set(listed(compared.types.table, "region")) == {"1", "2", "3"}
    reduce.domains.setValue(2)
    settle(session)
    assert set(listed(compared.types.table, "region")) == {"1", "2"}


def test_several_pairs_of_a_recipe_are_kept(compared: ComparePage, session: Session) -> None:
    pairs = (("upper", ODD), (ODD, ""))
    recipe = session.study.recipe
    chosen = replace(recipe.comparison, pairs=pairs)
    session.study.recipe = replace(recipe, comparison=chosen)
    assert compared.group.currentText() == "2 pairs of the recipe"
    compared.group.activated.emit(compared.group.currentIndex())
    assert session.study.recipe.comparison.pairs == pairs
    choose(compared.group, "each")
    assert session.study.recipe.comparison.pairs == ()


def test_level_and_blocks_change_intervals_only(
    compared: ComparePage, session: Session, settle: Settle
) -> None:
    before = compared.comparison.result.differences
    compared.types.level.setValue(0.8)
    settle(session)
    after = compared.comparison.result.differences
    np.testing.assert_array_equal(after["difference"], before["difference"])
    width, narrower = (table["upper"] - table["lower"] for table in (before, after))
    assert (narrower < width).all()
    compared.types.blocks.setValue(6)
    settle(session)
    assert compared.comparison.result.report["n_blocks"] == [6, 6]
    compared.types.deviation.click()
    settle(session)
    assert session.study.deconvolution.deviation
    assert compared.comparison.result.report["deviation"]


def test_saving_works_when_regions_are_gone(
    compared: ComparePage, session: Session, settle: Settle, tmp_path: Path, told: list[str]
) -> None:
    from napari_smoother.widgets import opening

    session.study.regions = Regions()
    settle(session)
    assert compared.comparison.result is None
    opening.save_results(session, tmp_path / "section.h5ad")
    settle(session)
    assert (tmp_path / "section.h5ad").exists(), told


# Tables


def test_a_header_sorts_and_the_chosen_row_stays(compared: ComparePage, session: Session) -> None:
    table = compared.types.table
    choose(compared.group, "upper")
    click(table, 2)
    cell_type = table.currentIndex().siblingAtColumn(1).data()
    assert session.scene.stage == COMPOSITION
    assert session.scene.cell_type == cell_type
    keys = [column.key for column in table.rows.columns]
    header = table.horizontalHeader()
    for key in ("difference", "effect_size", "cell_type"):
        place = keys.index(key)
        x = header.sectionViewportPosition(place) + header.sectionSize(place) // 2
        orders = []
        for _ in range(2):
            QTest.mouseClick(header.viewport(), LEFT, pos=QPoint(x, 5))
            orders.append(listed(table, key))
        assert sorted(orders[0], key=lambda v: v.casefold() if isinstance(v, str) else v) in orders
        assert orders[0] != orders[1]
        assert table.currentIndex().siblingAtColumn(1).data() == cell_type
    session.study.undo()
    assert table.currentIndex().siblingAtColumn(1).data() != cell_type, "the map is another"


def test_unknown_numbers_come_last_either_way(qtbot: QtBot) -> None:
    table = SortedTable([Column("x", "X", "", "{x:.1f}".format_map, 50)])
    qtbot.addWidget(table)
    table.show_table(pd.DataFrame({"x": [2.0, np.nan, 3.0, 1.0]}))
    for order, expected in (
        (Qt.SortOrder.AscendingOrder, ["1.0", "2.0", "3.0", "–"]),
        (Qt.SortOrder.DescendingOrder, ["3.0", "2.0", "1.0", "–"]),
    ):
        table.sortByColumn(0, order)
        assert [table.rows.index(row, 0).data() for row in range(4)] == expected
    table.show_table(pd.DataFrame({"x": [5.0, 6.0]}))
    assert listed(table, "x") == [6.0, 5.0], "sorted as before"


def test_rows_are_copied_with_all_digits(compared: ComparePage, qtbot: QtBot) -> None:
    table, result = compared.types.table, compared.comparison.result
    qtbot.mouseClick(compared.types.buttons.copy, LEFT)
    whole = QGuiApplication.clipboard().text()
    copied = pd.read_csv(StringIO(whole), sep="\t", float_precision="round_trip")
    pd.testing.assert_frame_equal(copied, result.differences, check_exact=True)
    table.setFocus()
    click(table, 0)
    place = table.visualRect(table.rows.index(1, 1)).center()
    QTest.mouseClick(table.viewport(), LEFT, Qt.KeyboardModifier.ControlModifier, place)
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 3
    assert lines[0].split("\t")[:3] == ["region", "reference", "cell_type"]


def test_differences_are_exported(
    compared: ComparePage,
    session: Session,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = tmp_path / "differences"
    monkeypatch.setattr(files, "ask_where_to_save", lambda *asked: (chosen, "Table (*.csv)"))
    compared.types.buttons.export.click()
    settle(session)
    table = pd.read_csv(tmp_path / "differences.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(table, compared.comparison.result.differences, check_exact=True)


# Genes


def test_without_scanpy_the_extra_is_named_and_types_are_compared(
    compared: ComparePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranked_genes, "find_spec", lambda name: None)
    compared.genes.show_result(None)
    assert "napari-smoother[genes]" in compared.genes.message.text()
    assert not compared.genes.rank.isEnabled()
    assert compared.comparison.result is not None


def test_genes_are_ranked_and_filtered(ranked: ComparePage, session: Session) -> None:
    genes, result = ranked.genes, ranked.ranking.result
    assert session.scene.shown.comparison.what == "genes"
    table = result.table("upper")
    differ = table[(table["log2_fold_change"].abs() >= 0.5) & (table["adjusted_p_value"] <= 0.05)]
    assert 0 < len(differ) < len(table)
    assert listed(genes.table, "gene") == list(differ["gene"])
    genes.fold.setValue(1.5)
    differ = differ[differ["log2_fold_change"].abs() >= 1.5]
    assert listed(genes.table, "gene") == list(differ["gene"])
    assert f"{len(differ)} of 80 genes" in genes.summary.text()
    genes.level.setValue(1e-6)
    strict = differ[differ["adjusted_p_value"] <= 1e-6]
    assert listed(genes.table, "gene") == list(strict["gene"])
    session.study.undo()
    session.study.undo()
    assert genes.fold.value() == 0.5
    dull = table.loc[table["adjusted_p_value"].idxmax(), "gene"]
    QTest.keyClicks(genes.search, dull.lower())
    assert dull in listed(genes.table, "gene"), "found, though it does not differ"
    assert len(listed(genes.table, "gene")) < 80
    assert "independent" in genes.caveat.text()


def test_a_row_and_a_point_colour_the_tissue(
    ranked: ComparePage, session: Session, qtbot: QtBot
) -> None:
    genes = ranked.genes
    click(genes.table, 0)
    first = genes.table.rows.table["gene"].iloc[0]
    view = session.scene.shown.view
    assert (session.scene.stage, view.source, view.key) == (DATA, "gene", first)
    features = session.scene.layer(SPOTS).features
    values = log_expression(session.study.section.adata, [first], where="")
    values = values.toarray() if hasattr(values, "toarray") else values
    np.testing.assert_allclose(features[f"{first}, {SCALE}"], values[:, 0])
    last = str(genes.table.rows.table["gene"].iloc[-1])
    volcano = genes.volcano
    row = list(volcano._table["gene"]).index(last)
    place = QPointF(*volcano.places()[row])
    assert volcano._table["gene"].iloc[volcano.gene_at(place)] == last
    qtbot.mouseClick(volcano, LEFT, pos=place.toPoint())
    assert session.scene.shown.view.key == last
    assert genes.table.currentIndex().siblingAtColumn(0).data() == last, "the row follows"
    session.study.undo()
    assert session.scene.shown.view.key == first
    assert genes.table.currentIndex().siblingAtColumn(0).data() == first
    assert volcano._gene == first
    qtbot.mouseClick(volcano, LEFT, pos=QPoint(2, 2))
    assert session.scene.shown.view.key == first, "nothing is there"


def test_a_ranking_of_earlier_settings_says_so(
    ranked: ComparePage, session: Session, settle: Settle, qtbot: QtBot
) -> None:
    genes, before = ranked.genes, ranked.ranking.result
    assert not genes.message.isVisible()
    choose(ranked.group, "each")
    settle(session)
    assert ranked.ranking.result is before
    assert "earlier settings" in genes.message.text()
    qtbot.mouseClick(genes.rank, LEFT)
    settle(session)
    assert not genes.message.isVisible()
    assert [genes.group.itemText(place) for place in range(2)] == ["upper", ODD]
    genes.group.setCurrentText(ODD)
    table = ranked.ranking.result.table(ODD)
    assert set(listed(genes.table, "gene")) <= set(table["gene"])
    assert ODD in genes.summary.text()


def test_a_ranking_is_cancelled_and_what_was_there_stays(
    ranked: ComparePage,
    session: Session,
    settle: Settle,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    from napari_smoother.analyses import ranked_genes as ranking

    before, begun = ranked.ranking.result, threading.Event()

    def endless(adata, groups, settings, context, **named):
        begun.set()
        while True:
            context.say("ranking genes", 10, 80)

    monkeypatch.setattr(ranking, "compute", endless)
    ranked.genes.ties.click()
    qtbot.mouseClick(ranked.genes.rank, LEFT)
    qtbot.waitUntil(lambda: begun.is_set() and ranked.genes.bar.value() == 10)
    assert ranked.genes.bar.maximum() == 80
    assert not ranked.genes.rank.isEnabled()
    qtbot.mouseClick(ranked.genes.stop, LEFT)
    settle(session)
    assert ranked.ranking.result is before
    assert ranked.genes.rank.isEnabled()


def test_genes_are_exported_all(
    ranked: ComparePage, session: Session, settle: Settle, tmp_path: Path
) -> None:
    ranked.genes.buttons.write(tmp_path / "genes.csv")
    settle(session)
    table = pd.read_csv(tmp_path / "genes.csv", float_precision="round_trip")
    expected = ranked.ranking.result.table()
    assert len(table) == 80
    assert list(table["gene"]) == list(expected["gene"])
    np.testing.assert_array_equal(table["p_value"], expected["p_value"])


def test_a_volcano_of_many_genes_is_drawn(qtbot: QtBot) -> None:
    random = np.random.default_rng(0)
    n = 30_000
    table = pd.DataFrame(
        {
            "gene": [f"g{number}" for number in range(n)],
            "score": random.normal(size=n),
            "log2_fold_change": random.normal(size=n) * 2,
            "adjusted_p_value": np.where(np.arange(n) < 3, 0.0, random.uniform(size=n)),
            "share": random.uniform(size=n),
            "share_reference": random.uniform(size=n),
        }
    )
    volcano = Volcano()
    qtbot.addWidget(volcano)
    volcano.resize(400, 200)
    listed = np.arange(n) < 100
    volcano.show_ranking(table, table["gene"].to_numpy(), listed, (0.5, 0.05))
    volcano.show_gene("g7")
    picture = volcano.grab().toImage()
    places = volcano.places()
    assert np.isfinite(places).all()
    assert (places >= 0).all()
    assert (places[:, 0] <= 400).all()
    # A p-value of 0 is at the top, and has a colour.
    x, y = places[0]
    assert y == places[:, 1].min()
    colour = picture.pixelColor(round(x), round(y))
    assert max(colour.red(), colour.blue()) > 150
    volcano.show_ranking(None, np.empty(0), np.empty(0, dtype=bool), (0.5, 0.05))
    assert volcano.gene_at(QPointF(x, y)) is None


# Names and sizes


def test_names_are_text_and_the_page_stays_narrow(
    compared: ComparePage, session: Session, settle: Settle
) -> None:
    long = "a very long name of a region, " * 5
    session.study.regions = session.study.regions.with_renamed("upper", long)
    settle(session)
    assert compared.minimumSizeHint().width() <= 420
    tip = compared.types.table.rows.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert long.strip() in tip
    odd = compared.types.table.rows.index(
        listed(compared.types.table, "region").index(ODD), 0
    ).data(Qt.ItemDataRole.ToolTipRole)
    assert "<b>" not in odd, "not taken for HTML"


def test_every_control_says_what_it_is(compared: ComparePage) -> None:
    for control in (
        compared.groups,
        compared.group,
        compared.reference,
        compared.unassigned,
        compared.types.blocks,
        compared.types.level,
        compared.types.deviation,
        compared.types.buttons.copy,
        compared.types.buttons.export,
        compared.genes.rank,
        compared.genes.stop,
        compared.genes.ties,
        compared.genes.fold,
        compared.genes.level,
        compared.genes.search,
        compared.genes.group,
        compared.genes.volcano,
    ):
        assert control.toolTip(), control
        assert control.accessibleName() or control.text(), control


def test_the_page_is_a_widget_of_its_own(
    window, small: Sample, qtbot: QtBot, settle: Settle
) -> None:
    widget = CompareWidget(window)
    window.window.add_dock_widget(widget)
    (page,) = widget.pages
    assert isinstance(page, ComparePage)
    widget.session.study.open(small.section)
    settle(widget.session)
    choose(page.groups, "Column region")
    settle(widget.session)
    assert "Deconvolve" in page.types.message.text()


def test_another_section_has_a_comparison_of_its_own(
    ranked: ComparePage, session: Session, settle: Settle
) -> None:
    other = simulate_cortex(rows=17, n_genes=80, seed=8, image_size=400)
    before = ranked.ranking.result
    session.study.open(other.section, beside=True)
    settle(session)
    assert ranked.ranking.result is None
    assert not ranked.genes.content.isVisible()
    session.study.switch_to(0)
    settle(session)
    assert ranked.ranking.result is before
    assert listed(ranked.genes.table, "gene")
