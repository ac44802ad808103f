"""The wheel over a control without focus scrolls the page and changes nothing."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QScrollArea,
    QScrollBar,
    QSpinBox,
    QStackedWidget,
    QTabBar,
    QWidget,
)

from napari_smoother.widgets.dock import SmootherDock
from napari_smoother.widgets.graph_page import GraphPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.widgets.page import Page
    from napari_smoother.widgets.session import Session

UP, DOWN = 4, 5
"""The buttons of a mouse that a turn of its wheel presses, in X."""


class Wheel:
    """The wheel of the display's mouse; what Qt sends by itself has no way through a window."""

    def __init__(self) -> None:
        self._x11, self._test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(None))

    def turn(self, widget: QWidget, button: int) -> None:
        """Turn it by a notch over the middle of a widget."""
        place = widget.mapToGlobal(widget.rect().center())
        self._test.XTestFakeMotionEvent(self._display, -1, place.x(), place.y(), 0)
        for pressed in (1, 0):
            self._test.XTestFakeButtonEvent(self._display, button, pressed, 0)
        self._x11.XSync(self._display, 0)

    def close(self) -> None:
        self._x11.XCloseDisplay(self._display)


@pytest.fixture
def wheel() -> Iterator[Wheel]:
    try:
        wheel = Wheel()
    except OSError as error:
        pytest.skip(f"turning the wheel needs X11 and its test extension: {error}")
    yield wheel
    wheel.close()


def state(control: Any) -> object:
    if isinstance(control, QComboBox | QTabBar):
        return control.currentIndex()
    value = control.value()
    return tuple(value) if isinstance(value, list) else value


def controls_of(page: QWidget) -> list[Any]:
    """Return every control with a value on a page, however it is made."""
    kinds = (QAbstractSpinBox, QAbstractSlider, QComboBox)
    found = [control for kind in kinds for control in page.findChildren(kind)]
    return [control for control in found if not isinstance(control, QScrollBar)]


def area_of(widget: QWidget) -> QScrollArea | None:
    """Return what scrolls when the wheel is turned over a widget."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parentWidget()
    return parent


def reveal(control: QWidget, page: QWidget) -> None:
    """Show a control that belongs to other settings, too."""
    while control is not page:
        parent = control.parentWidget()
        if isinstance(parent, QStackedWidget):
            parent.setCurrentWidget(control)
        layout = parent.layout()
        if isinstance(layout, QFormLayout) and layout.indexOf(control) >= 0:
            layout.setRowVisible(control, True)
        control.show()
        control = parent


@pytest.fixture
def low(window: napari.Viewer, dock: SmootherDock, solved: Session, qtbot: QtBot) -> SmootherDock:
    """Return a dock too low for any of its pages, and wide enough for all."""
    dock.setMinimumWidth(800)
    for page in dock.pages:
        scrolled = page.findChild(QScrollArea).widget() if page.scrolls_itself else page
        scrolled.setMinimumHeight(3000)
    qtbot.wait(50)
    return dock


def test_every_control_leaves_the_wheel_to_its_page(
    low: SmootherDock,
    session: Session,
    settle: Callable[[Session], None],
    wheel: Wheel,
    qtbot: QtBot,
) -> None:
    for kind in SmootherDock.kinds:
        page = low.turn_to(kind)
        settle(session)  # a first result may set what it chose
        qtbot.wait(50)  # laid out
        turn_over_every_control(page, session, wheel, qtbot)


def turn_over_every_control(page: Page, session: Session, wheel: Wheel, qtbot: QtBot) -> None:
    # Once: bringing one of stacked parts to the front changes their order.
    controls = controls_of(page)
    settings, values = session.study.recipe, [state(control) for control in controls]
    turned = 0
    for control in controls:
        assert control.focusPolicy() != Qt.FocusPolicy.WheelFocus, control
        turned += 1
        reveal(control, page)
        reveal(control, page)  # a part that comes into view shows the recipe, and hides some again
        qtbot.wait(20)
        control.clearFocus()
        area = area_of(control)
        if area is None:  # on a part that is always in view
            wheel.turn(control, DOWN)
            qtbot.wait(20)
            continue
        bar = area.verticalScrollBar()
        for button in (DOWN, UP):
            bar.setValue(0)
            area.ensureWidgetVisible(control)
            bar.setValue(min(max(bar.value(), 1), bar.maximum() - 1))  # room to both sides
            qtbot.wait(1)
            assert not control.visibleRegion().isEmpty(), control
            place = bar.value()
            wheel.turn(control, button)
            qtbot.waitUntil(lambda place=place, bar=bar: bar.value() != place)
            assert (bar.value() > place) == (button == DOWN)
            assert not control.hasFocus(), control
    assert turned == len(controls_of(page))
    assert turned or page.title == "Quality", "whose fields take what is typed alone"
    assert [state(control) for control in controls] == values
    assert session.study.recipe == settings


def test_a_control_with_focus_follows_the_wheel(
    low: SmootherDock, wheel: Wheel, qtbot: QtBot
) -> None:
    page = low.turn_to(GraphPage)
    assert isinstance(page, GraphPage)
    bar = area_of(page).verticalScrollBar()
    control: QSpinBox = page.neighbours
    qtbot.waitUntil(lambda: not control.visibleRegion().isEmpty())
    low.activateWindow()
    control.setFocus()
    qtbot.waitUntil(control.hasFocus)
    before = control.value()
    wheel.turn(control, UP)
    qtbot.waitUntil(lambda: control.value() == before + 1)
    wheel.turn(control, DOWN)
    qtbot.waitUntil(lambda: control.value() == before)
    assert bar.value() == 0
    control.clearFocus()
    wheel.turn(control, DOWN)
    qtbot.waitUntil(lambda: bar.value() > 0)
    assert control.value() == before


def test_the_wheel_does_not_turn_pages(low: SmootherDock, wheel: Wheel, qtbot: QtBot) -> None:
    before = low.tabs.currentIndex()
    wheel.turn(low.tabs.buttons.button(1), DOWN)
    qtbot.wait(100)
    assert low.tabs.currentIndex() == before
