"""Names of controls, for who hears a page instead of seeing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QScrollBar,
    QTabBar,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QLayoutItem

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
)

HAVE_PARTS = (QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QTabBar)
"""What Qt puts controls of its own into, as the line of a spin box."""


def name_controls(page: QWidget) -> None:
    """Give every control without a name that of its row, or else what its tooltip says first."""
    for rows in page.findChildren(QFormLayout):
        for row in range(rows.rowCount()):
            label = rows.itemAt(row, QFormLayout.ItemRole.LabelRole)
            field = rows.itemAt(row, QFormLayout.ItemRole.FieldRole)
            text = label.widget().text() if label is not None and label.widget() else ""
            for control in _controls_in(field) if text else ():
                _name(control, text)
    for control in controls_of(page):
        parent = control.parentWidget()
        above = parent.accessibleName() if parent is not None else ""
        _name(control, above or _first_words(control.toolTip()) or _first_words_above(control))


def controls_of(page: QWidget) -> list[QWidget]:
    """Return what can be used on a page, without what Qt puts into controls of its own."""
    found = [control for kind in CONTROLS for control in page.findChildren(kind)]
    return [c for c in found if not isinstance(c, QScrollBar) and not _is_part(c)]


def name_of(control: QWidget) -> str:
    """Return what a screen reader calls a control."""
    text = control.text() if isinstance(control, QAbstractButton) else ""
    return str(control.accessibleName() or text)


def _name(control: QWidget, name: str) -> None:
    if not name_of(control) and name:
        control.setAccessibleName(name)


def _controls_in(item: QLayoutItem | None) -> Iterator[QWidget]:
    """Yield the controls of one field of a form, which may be a layout of several."""
    if item is None:
        return
    widget, layout = item.widget(), item.layout()
    if isinstance(widget, QLabel):
        return
    if widget is not None:
        yield widget
        yield from controls_of(widget)
    elif layout is not None:
        for place in range(layout.count()):
            yield from _controls_in(layout.itemAt(place))


def _is_part(control: QWidget) -> bool:
    """Whether a control is inside another, as the line of a spin box is."""
    parent = control.parentWidget()
    while parent is not None:
        if isinstance(parent, HAVE_PARTS):
            return True
        parent = parent.parentWidget()
    return False


def _first_words(tip: str) -> str:
    return tip.split(". ")[0].split("\n")[0]


def _first_words_above(control: QWidget) -> str:
    """Return what the tooltip around a control says: sliders with a number have one together."""
    parent = control.parentWidget()
    return _first_words(parent.toolTip()) if parent is not None else ""
