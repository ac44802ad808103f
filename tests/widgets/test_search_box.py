"""A name counts once it is chosen; one that is not there is told, with the nearest ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_smoother.analyses.shown import View
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.search_box import SearchBox, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

NAMES = ["Tpbpa", "Tpbpb", "TRAC", "Mbp", "MBP", "GFAP"]
ALIASES = ["Tb-1", "Tb-2", "TCRA", "", "", "ALXDRD"]


@pytest.fixture
def box(qtbot: QtBot) -> SearchBox:
    page = QWidget()
    layout = QVBoxLayout(page)
    box = SearchBox("gene")
    layout.addWidget(box)
    layout.addWidget(box.complaint)
    box.list_names(NAMES, [ALIASES])
    qtbot.addWidget(page)
    page.show()
    qtbot.waitExposed(page)
    box.page = page  # kept as long as the box
    return box


def type_in(box: SearchBox, text: str, key: Qt.Key = Qt.Key.Key_Return) -> None:
    line = box.lineEdit()
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, key)


def test_letters_on_the_way_to_a_name_choose_nothing(box: SearchBox) -> None:
    chosen: list[str] = []
    box.name_chosen.connect(chosen.append)
    box.list_names(["T", *NAMES])
    line = box.lineEdit()
    line.selectAll()
    for letter in "Tpbpa":
        QTest.keyClicks(line, letter)
        assert not chosen
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert chosen == ["Tpbpa"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [("TRAC", "TRAC"), ("trac", "TRAC"), ("TCRA", "TRAC"), (" gfap ", "GFAP"), ("MBP", "MBP")],
)
def test_enter_finds_names_in_any_case_and_further_names(
    box: SearchBox, typed: str, found: str
) -> None:
    type_in(box, typed)
    assert (box.chosen, box.currentText()) == (found, found)
    assert box.complaint.isHidden()


def test_a_name_that_several_have_but_for_case_is_not_guessed(box: SearchBox) -> None:
    type_in(box, "mbp")
    assert box.chosen == ""
    assert "no gene “mbp”" in box.complaint.text()


def test_a_name_that_is_not_there_offers_the_nearest(box: SearchBox) -> None:
    box.choose("GFAP")
    type_in(box, "Tpbpx")
    assert box.chosen == "GFAP"
    assert box.complaint.isVisible()
    assert box.complaint.text().index("Tpbpa") < box.complaint.text().index("Tpbpb")
    assert "GFAP" not in box.complaint.text()
    box.complaint.linkActivated.emit("0")
    assert (box.chosen, box.currentText()) == ("Tpbpa", "Tpbpa")
    assert box.complaint.isHidden()


def test_names_are_no_markup(box: SearchBox) -> None:
    type_in(box, "<img src=x>")
    assert "<img" not in box.complaint.text()


def test_what_is_half_typed_goes_when_the_box_is_left_or_escape_is_pressed(box: SearchBox) -> None:
    box.choose("GFAP")
    QTest.keyClicks(box.lineEdit(), "TR")
    QApplication.sendEvent(box, QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.TabFocusReason))
    assert box.currentText() == "GFAP"
    type_in(box, "TR", Qt.Key.Key_Escape)
    assert box.currentText() == "GFAP"


def test_nearest_names_share_most_letters() -> None:
    assert [NAMES[place] for place in nearest("GFAPP", [NAMES, ALIASES])] == ["GFAP"]
    assert [NAMES[place] for place in nearest("ALXDR", [NAMES, ALIASES])] == ["GFAP"]
    assert nearest("zzzz", [NAMES, ALIASES]) == []


def test_the_map_follows_the_name_that_the_field_shows(
    dock: SmootherDock, session: Session, sample: Sample, settle: Callable[[Session], None]
) -> None:
    session.study.open(sample.section)
    settle(session)
    page = dock.turn_to(DataPage)
    first, second = sample.section.adata.var_names[:2]
    page.name.choose(first)
    assert session.scene.shown.view == View("gene", first)
    type_in(page.name, "no such thing")
    assert session.scene.shown.view == View("gene", first)
    assert "There is no gene" in page.name.complaint.text()
    type_in(page.name, second)
    assert session.scene.shown.view == View("gene", second)
    assert page.name.currentText() == second
