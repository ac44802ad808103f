"""Lists of genes whose rows are identifiers, and the colours of a column that has some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_smoother.analyses.shown import View
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.figure_page import FigurePage
from napari_smoother.widgets.impute_page import ImputePage

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.figures.panels import Panel
    from napari_smoother.sample_data import Sample
    from napari_smoother.section import Section
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.search_box import SearchBox
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]

GENE = "CUX2"
COLOURS = ["#ff5733", "#3498db", "#101010"]


@pytest.fixture
def section(sample: Sample) -> Section:
    """Return the sample with identifiers in its rows, and a column with colours of its own."""
    adata = sample.section.adata.copy()
    symbols = adata.var_names
    adata.var_names = adata.var["gene_ids"]
    adata.var = pd.DataFrame({"Symbol": symbols}, index=adata.var_names)
    classes = np.resize(["late", "early", None], adata.n_obs)
    adata.obs["cluster"] = pd.Categorical(classes, categories=["late", "early", "never"])
    adata.uns["cluster_colors"] = COLOURS
    return replace(sample.section, adata=adata)


@pytest.fixture
def opened(session: Session, section: Section, settle: Settle) -> Session:
    session.study.open(section)
    settle(session)
    return session


def row_of(section: Section, symbol: str) -> str:
    return str(section.adata.var_names[section.adata.var["Symbol"] == symbol][0])


def listed(box: SearchBox) -> list[str]:
    return [box.itemText(place) for place in range(box.count())]


def completions(box: SearchBox, typed: str) -> list[str]:
    completer = box.completer()
    completer.setCompletionPrefix(typed)
    model = completer.completionModel()
    return [completer.pathFromIndex(model.index(row, 0)) for row in range(model.rowCount())]


def type_in(box: SearchBox, text: str) -> None:
    line = box.lineEdit()
    line.selectAll()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)


def test_every_list_shows_symbols_and_finds_identifiers(
    dock: SmootherDock, opened: Session, section: Section, settle: Settle
) -> None:
    """cellxgene_VIP#91."""
    row = row_of(section, GENE)
    for kind, name in ((DataPage, "name"), (ImputePage, "gene"), (FigurePage, "extra")):
        box = getattr(dock.turn_to(kind), name)
        settle(opened)
        assert GENE in listed(box), kind
        assert row not in listed(box), kind
        assert completions(box, row) == [GENE], kind
        assert GENE in completions(box, GENE.lower()[:3]), kind


@pytest.mark.parametrize("by", ["symbol", "identifier"])
def test_a_gene_is_typed_in_either_way(
    dock: SmootherDock,
    opened: Session,
    section: Section,
    settle: Settle,
    by: str,
    printed: Callable[[Session, str], Panel],
) -> None:
    row = row_of(section, GENE)
    typed = GENE if by == "symbol" else row
    counts = section.adata[:, row].X.toarray().ravel()
    totals = section.adata.X.sum(axis=1).A1

    data = dock.turn_to(DataPage)
    type_in(data.name, typed)
    assert opened.scene.shown.view == View("gene", row)
    values = opened.scene.layer(SPOTS).features[f"{GENE}, log1p of counts per 10,000"]
    np.testing.assert_allclose(values, np.log1p(1e4 * counts / totals), rtol=1e-5)
    assert dock.key.quantity.text().startswith(f"{GENE},")

    page = dock.turn_to(ImputePage)
    type_in(page.gene, typed)
    settle(opened)
    assert page.analysis.result.gene == row
    assert page.analysis.result.label == GENE
    assert dock.key.quantity.text() == f"{GENE} smoothed, log1p of counts per 10,000"

    shown = printed(opened, typed)
    assert shown.key.quantity == f"{GENE}, log1p of counts per 10,000"


def test_a_gene_that_is_not_there_takes_no_other(
    dock: SmootherDock, opened: Session, settle: Settle, told: list[str]
) -> None:
    page = dock.turn_to(ImputePage)
    type_in(page.gene, "NOSUCHGENE")
    settle(opened)
    assert page.analysis.result is None
    assert "There is no gene “NOSUCHGENE”" in page.gene.complaint.text()
    assert page.gene.complaint.isVisible()
    assert not told


def test_the_list_goes_back_to_the_gene_on_the_map(
    dock: SmootherDock, opened: Session, section: Section
) -> None:
    data = dock.turn_to(DataPage)
    data.name.choose(GENE)
    data.source.setCurrentText("Spot column")
    assert "cluster" in listed(data.name)
    data.source.setCurrentText("Gene")
    assert data.name.currentText() == GENE
    assert opened.scene.shown.view == View("gene", row_of(section, GENE))


def test_a_column_has_its_own_colours_on_screen_and_in_print(
    dock: SmootherDock,
    opened: Session,
    section: Section,
    told: list[str],
    printed: Callable[[Session, str], Panel],
) -> None:
    """napari-spatialdata#328: colours of scanpy, and spots without a class in the key."""
    data = dock.turn_to(DataPage)
    data.source.setCurrentText("Spot column")
    data.name.choose("cluster")
    rgb = np.array([[0xFF, 0x57, 0x33], [0x34, 0x98, 0xDB]]) / 255
    codes = section.adata.obs["cluster"].cat.codes.to_numpy()
    for colours in (opened.scene.colours, printed(opened, "cluster").colours):
        for code in (0, 1):
            np.testing.assert_allclose(
                colours[codes == code][:, :3],
                np.tile(rgb[code], ((codes == code).sum(), 1)),
                atol=1e-6,
            )
    names = [name for name, _ in dock.key._key.classes]
    assert names == ["late", "early"]
    assert dock.key._key.missing
    assert told == []

    section.adata.uns["cluster_colors"] = COLOURS[:1]
    data.name.choose("(one colour)")
    data.name.choose("cluster")
    assert len(told) == 1
    assert "1 colours for 3 classes, so they are not used" in told[0]
    assert opened.scene.shown.view == View("obs", "cluster")
