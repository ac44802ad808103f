"""What every page of the dock has: a session, a title, and rows of settings."""

from __future__ import annotations

from contextlib import contextmanager
from inspect import signature
from types import MethodType
from typing import TYPE_CHECKING
from weakref import WeakMethod, ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

from napari_smoother.layers.plain_text import as_text
from napari_smoother.widgets.attached_window import attach
from napari_smoother.widgets.sliders import NumberSlider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psygnal import SignalInstance
    from qtpy.QtGui import QPaintEvent, QShowEvent

    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.layers.graph_layers import EdgesShown
    from napari_smoother.layers.spot_map import Key
    from napari_smoother.study.study import Study
    from napari_smoother.widgets.session import Session


class Page(QWidget):
    """One page of the dock, also a widget of its own.

    Parameters
    ----------
    session
        Whose study it shows.
    """

    title = ""
    scrolls_itself = False
    """Whether it has the height of the dock, and scrolls what does not fit by itself."""
    shows_edges: EdgesShown = "none"
    """Which edges of the graph are to be seen while it is in front."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.study = session.study
        self.scene = session.scene
        self._is_followed = False

    def _hold(self, held: bool) -> None:
        """Make one step of all that a slider does while it is held."""
        if held:
            self.study.begin_step()
        else:
            self.study.end_step()

    def enter(self) -> None:
        """Bring the map that belongs to this page to the top."""

    def is_key(self, key: Key) -> bool:
        """Whether the page shows what the colours on the map mean, so that nothing else has to."""
        return False

    def leave(self) -> None:
        """Take away what belongs to this page alone, as another comes to the front."""

    def showEvent(self, event: QShowEvent) -> None:
        """Note the window this page is in."""
        super().showEvent(event)
        if not self._is_followed:
            self._is_followed = True
            for slider in self.findChildren(NumberSlider):
                slider.held.connect(self._hold)
        window = self.window()
        if isinstance(window, QMainWindow):
            attach(self.session, window)


def form() -> QFormLayout:
    """Return a layout for rows of settings that uses the width of the dock."""
    layout = QFormLayout()
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def text_label(text: str = "") -> QLabel:
    """Return a label that shows names from files as they are, never as HTML."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    return label


def scroll_area(content: QWidget) -> QScrollArea:
    """Return a widget in a frame that scrolls where there is no room for all of it."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setWidget(content)
    return area


class ElidedLabel(QLabel):
    """One line of text, cut short where there is no room for it; the pointer shows it whole."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show a text."""
        super().setText(text)
        self.setToolTip(as_text(text))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint as much of the text as there is room for."""
        painter = QPainter(self)
        shown = self.fontMetrics().elidedText(
            self.text(), Qt.TextElideMode.ElideRight, self.width()
        )
        painter.setPen(self.palette().text().color())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, shown)


def wrapped_label(text: str = "") -> QLabel:
    """Return a label that breaks its lines instead of widening the dock."""
    label = text_label(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def reserved_label(lines: int) -> QLabel:
    """Return a wrapped label that keeps room for some lines, so that nothing moves below it."""
    label = wrapped_label()
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    label.setMinimumHeight(lines * label.fontMetrics().lineSpacing())
    return label


def while_kept(
    widget: QWidget, callback: Callable[..., None], let_go: Callable[[Callable[..., None]], object]
) -> Callable[..., None]:
    """Return what calls a callback for as long as Qt keeps a widget, and is let go of afterwards.

    That the widget has gone is seen when it would be told: its signal `destroyed` may come in the
    middle of a garbage collection, when neither signals nor functions are whole any more.
    """
    is_method = isinstance(callback, MethodType)
    known, method = ref(widget), WeakMethod(callback) if is_method else lambda: callback

    def heard(*values: object) -> None:
        there, told = known(), method()
        if there is not None and told is not None and isalive(there):
            told(*values)
        else:
            let_go(heard)

    heard.__signature__ = signature(callback)  # type: ignore[attr-defined]
    return heard


def listen(widget: QWidget, signal: SignalInstance, callback: Callable[..., None]) -> None:
    """Let a widget follow a signal of the study for as long as Qt keeps the widget."""
    signal.connect(while_kept(widget, callback, signal.disconnect))


class _Following(QObject):
    """Shows a recipe in a widget that can be seen, or else as it comes into view."""

    def __init__(self, widget: QWidget, study: Study, show: Callable[[Recipe], None]) -> None:
        super().__init__(widget)
        self._widget, self._study, self._show = widget, study, show
        self._is_late = False
        widget.installEventFilter(self)
        listen(widget, study.recipe_changed, self._on_recipe)

    def _on_recipe(self, recipe: Recipe) -> None:
        self._is_late = not self._widget.isVisible()
        if not self._is_late:
            self._show(recipe)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and self._is_late:
            self._is_late = False
            self._show(self._study.recipe)
        return False


def follow_recipe(widget: QWidget, study: Study, show: Callable[[Recipe], None]) -> None:
    """Have a widget show the recipe for as long as it can be seen, and again when it can.

    A slider waits for everything that follows it: eight pages of nine are behind another.
    """
    _Following(widget, study, show)


@contextmanager
def silent(*widgets: QObject) -> Iterator[None]:
    """Set widgets from the study without their telling the study."""
    before = [widget.blockSignals(True) for widget in widgets]
    try:
        yield
    finally:
        for widget, was_blocked in zip(widgets, before, strict=True):
            widget.blockSignals(was_blocked)
