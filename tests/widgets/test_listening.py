"""Widgets follow signals as long as Qt keeps them, and never in the middle of a collection."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QLabel

from napari_smoother.widgets.page import listen

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


class Source:
    changed = Signal(str, int)


class Follower(QLabel):
    def follow(self, text: str) -> None:
        self.setText(text)


def delete(widget: QLabel) -> None:
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)


@pytest.mark.parametrize("kind", ["method", "function"])
def test_a_widget_that_is_gone_is_let_go(qtbot: QtBot, kind: str) -> None:
    source, widget = Source(), Follower()
    listen(
        widget, source.changed, widget.follow if kind == "method" else lambda t: widget.setText(t)
    )
    source.changed.emit("first", 1)
    assert widget.text() == "first"
    delete(widget)
    assert len(source.changed) == 1
    source.changed.emit("second", 2)  # would raise in a widget that Qt has deleted
    assert len(source.changed) == 0


def test_others_behind_it_are_told(qtbot: QtBot) -> None:
    source, gone, there = Source(), Follower(), Follower()
    qtbot.addWidget(there)
    listen(gone, source.changed, gone.follow)
    listen(there, source.changed, there.follow)
    delete(gone)
    source.changed.emit("both", 1)
    assert there.text() == "both"


def test_a_signal_does_not_keep_a_widget(qtbot: QtBot) -> None:
    source = Source()
    widget: Any = Follower()
    listen(widget, source.changed, widget.follow)
    del widget
    gc.collect()
    source.changed.emit("nobody", 1)
    assert len(source.changed) == 0
