"""The widgets of a settings record, made by magicgui from its fields and their types."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from textwrap import fill
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from magicgui.backends._qtpy.widgets import QBaseValueWidget
from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QSpinBox, QWidget

from napari_smoother.analyses.field_descriptions import describe_fields
from napari_smoother.widgets.sliders import ExactField, LogSlider, NumberSlider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

TIP_WIDTH = 72
"""Letters in a line of a tooltip, which Qt does not wrap."""

LARGEST = 2**31 - 1
"""Of the whole numbers that Qt can show."""

PRIOR: dict[str, dict[str, Any]] = {
    "process": {"choices": {"icar": "ICAR", "isar": "ISAR"}},
    "rho": {"editor": lambda: NumberSlider(0.0, 1.0, decimals=4)},
    "lambda_": {"editor": lambda: LogSlider(1e-3, 1e3)},
}
"""Process, rho and lambda, as every page has them."""


class SettingsForm(QObject, Generic[Record]):
    """The widgets of a settings record; each changes its own field and no other.

    Parameters
    ----------
    settings
        What to show first.
    options
        The fields to show, and how: ``choices``, a name for each value; ``range`` of whole
        numbers; ``editor``, which makes the widget of a number; ``text`` beside a tick or, of a
        field that may be None, in its place; ``tooltip`` instead of the description of the
        field. None for every field as its type says.

    Attributes
    ----------
    value
        The settings that are shown, exactly as they were given.
    valueChanged
        Emitted with the name of a field and its new value when the hand changed it: whoever
        takes it over shows the settings that follow.
    widgets
        Of magicgui, by the name of the field.
    """

    valueChanged = Signal(str, object)

    def __init__(
        self, settings: Record, options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__()
        self.value = settings
        self.widgets: dict[str, ValueWidget[Any]] = {}
        record_type: type[Any] = type(settings)
        types, described = get_type_hints(record_type), describe_fields(record_type)
        if options is None:
            names = [field.name for field in fields(settings)]
            options = {name: {} for name in names if _can_edit(types[name])}
        for name, option in options.items():
            widget = _widget(types[name], **{"tooltip": described.get(name, ""), **option})
            self.widgets[name] = widget
            widget.changed.connect(partial(self._change, name))
        self.setValue(settings)

    def __getitem__(self, name: str) -> Any:
        """Return the Qt widget of a field."""
        return self.widgets[name].native

    def setValue(self, settings: Record) -> None:
        """Show settings without announcing them."""
        self.value = settings
        for name, widget in self.widgets.items():
            value = getattr(settings, name)
            if value not in getattr(widget, "choices", (value,)):
                widget.native.addItem(str(value), value)  # of a file; not offered here
            if widget.value != value:
                with widget.changed.blocked():
                    widget.value = value

    def offer(self, name: str, choices: Mapping[Any, str]) -> None:
        """Let a field have other values than before, without announcing it."""
        widget: Any = self.widgets[name]
        if widget.choices != tuple(choices):
            with widget.changed.blocked():
                widget.choices = ()
                widget.choices = [(name, value) for value, name in choices.items()]

    def _change(self, name: str) -> None:
        self.valueChanged.emit(name, self.widgets[name].value)


class WholeNumber(QSpinBox):
    """A field for a whole number, or for None where that has a name.

    Parameters
    ----------
    lowest, highest
        What the hand can choose.
    none
        The name of None; without one there is no None.
    step
        From one number to the next.
    """

    def __init__(
        self, lowest: int = 0, highest: int = LARGEST, none: str = "", step: int = 1
    ) -> None:
        super().__init__()
        self._has_none = bool(none)
        self.setRange(lowest - self._has_none, highest)
        self.setSpecialValueText(none)
        self.setSingleStep(step)
        self.setKeyboardTracking(False)

    @property
    def value_changed(self) -> Any:
        """The signal of a change by hand, under the name that a slider has for it."""
        return self.valueChanged

    def value(self) -> int | None:
        """Return the number."""
        number = super().value()
        return None if self._has_none and number == self.minimum() else number

    def set_value(self, value: int | None) -> None:
        """Show a number, also outside the range, without announcing it."""
        number = self.minimum() if value is None else min(value, LARGEST)
        blocked = self.blockSignals(True)
        self.setRange(min(self.minimum(), number), max(self.maximum(), number))
        self.setValue(number)
        self.blockSignals(blocked)


class NumberOrAutomatic(QWidget):
    """A number, or the tick that leaves it to the computer.

    Parameters
    ----------
    number
        The editor of the number.
    text
        Beside the tick.
    """

    value_changed = Signal(object)

    def __init__(self, number: Any, text: str) -> None:
        super().__init__()
        self.number = number
        self.automatic = QCheckBox(text)
        self.automatic.setToolTip("Leaves the number to the computer, which shows what it chose")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(number, 1)
        row.addWidget(self.automatic)
        number.value_changed.connect(self._take_in_hand)
        self.automatic.toggled.connect(lambda: self.value_changed.emit(self.value()))

    def setToolTip(self, text: str) -> None:
        """Say what the number is."""
        super().setToolTip(text)
        self.number.setToolTip(text)

    def value(self) -> float | None:
        """Return the number; None where it is left to the computer."""
        return None if self.automatic.isChecked() else float(self.number.value())

    def set_value(self, value: float | None) -> None:
        """Show a number, or that there is none, without announcing it."""
        self._tick(value is None)
        if value is not None:
            self.number.set_value(value)

    def suggest(self, value: float) -> None:
        """Show what was chosen where the number is left to the computer."""
        if self.automatic.isChecked():
            self.number.set_value(value)

    def _take_in_hand(self) -> None:
        self._tick(False)
        self.value_changed.emit(self.value())

    def _tick(self, automatic: bool) -> None:
        blocked = self.automatic.blockSignals(True)
        self.automatic.setChecked(automatic)
        self.automatic.blockSignals(blocked)


class _Editor(QBaseValueWidget):
    """A Qt widget with a value, as magicgui knows it."""

    def __init__(self, make: Callable[[], QWidget], parent: QWidget | None = None) -> None:
        made: Any = lambda parent: make()  # noqa: E731
        super().__init__(made, "value", "set_value", "value_changed", parent=parent)


def _can_edit(kind: Any) -> bool:
    return get_origin(kind) is Literal or bool({bool, int, float} & {kind, *get_args(kind)})


def _widget(
    kind: Any,
    *,
    tooltip: str,
    choices: Mapping[Any, str] | None = None,
    range: tuple[int, int] = (0, LARGEST),
    editor: Callable[[], QWidget] | None = None,
    text: str = "",
    step: int = 1,
) -> Any:
    """Return the widget of a field."""
    tooltip = fill(tooltip, TIP_WIDTH)
    if choices is None and get_origin(kind) is Literal:
        choices = {value: str(value) for value in get_args(kind)}
    if choices is not None:
        named = [(name, value) for value, name in choices.items()]
        return _made("ComboBox", kind, {"choices": named, "tooltip": tooltip})
    if kind is bool:
        return _made("CheckBox", kind, {"text": text, "tooltip": tooltip})
    optional, kinds = NoneType in get_args(kind), {kind, *get_args(kind)}
    none = (text or "automatic") if optional else ""
    if float in kinds:
        number = editor or ExactField
        make = (lambda: NumberOrAutomatic(number(), none)) if optional else number
    else:
        make = editor or (lambda: WholeNumber(*range, none, step))
    return ValueWidget(
        widget_type=_Editor,
        backend_kwargs={"make": make},
        nullable=optional,
        tooltip=tooltip,
        annotation=kind,
    )


def _made(widget_type: str, kind: Any, options: dict[str, Any]) -> Any:
    return create_widget(annotation=kind, widget_type=widget_type, options=options)
