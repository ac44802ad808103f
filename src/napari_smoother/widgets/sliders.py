"""Sliders with the number beside them."""

from __future__ import annotations

import math
import re
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

STEPS = 1000

GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
"""A thousand to some, one to others: such a text is not taken for a number."""


class ExactField(QDoubleSpinBox):
    """A field that shows four significant digits of the exact number it holds."""

    def __init__(self, lowest: float = 0.0, highest: float = 1e12) -> None:
        super().__init__()
        self.setDecimals(40)  # Qt rounds what it holds to these
        self.setRange(lowest, highest)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setKeyboardTracking(False)
        self.setMinimumWidth(64)

    @property
    def value_changed(self) -> Any:
        """The signal of a change by hand, under the name that a slider has for it."""
        return self.valueChanged

    def set_value(self, value: float) -> None:
        """Hold a number, also outside the range, without announcing it."""
        blocked = self.blockSignals(True)
        self.setRange(min(self.minimum(), value), max(self.maximum(), value))
        self.setValue(value)
        self.blockSignals(blocked)

    def textFromValue(self, value: float) -> str:
        """Return four significant digits; the number itself stays as it was typed or set."""
        return f"{value:.4g}"

    def valueFromText(self, text: str) -> float:
        """Return the number that was typed; the one it holds where nothing was."""
        held = self.value()
        return held if text == self.textFromValue(held) else number_in(text)

    def fixup(self, text: str) -> str:
        """Leave the text alone, where Qt would take its commas out."""
        return text

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """Take every number in the range; what may become one can be typed."""
        if self.minimum() <= number_in(text) <= self.maximum():
            return QValidator.State.Acceptable, text, place
        possible = set(text) <= set("0123456789.,+-eE")
        state = QValidator.State.Intermediate if possible else QValidator.State.Invalid
        return state, text, place


def number_in(text: str) -> float:
    """Return the number that a text is; NaN where it is none, or may be one of two."""
    if GROUPED.fullmatch(text.strip()):
        return math.nan
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


class NumberSlider(QWidget):
    """A slider from one number to another, with a field to type an exact one.

    It keeps the exact number it was set to until the hand changes it.

    Parameters
    ----------
    lowest, highest
        Ends of the range.
    decimals
        Of the numbers at the places of the slider.
    tip
        Tooltip.

    Attributes
    ----------
    value_changed
        Emitted with the number whenever the hand changes it.
    held
        Emitted with whether the hand holds the slider.
    """

    value_changed = Signal(float)
    held = Signal(bool)

    def __init__(self, lowest: float, highest: float, *, decimals: int = 2, tip: str = "") -> None:
        super().__init__()
        self._lowest, self._highest, self._decimals = lowest, highest, decimals
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.field = ExactField(lowest, highest)
        self.field.setSingleStep(10.0**-decimals)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.field)
        self.setToolTip(tip)
        self.slider.valueChanged.connect(self._on_slider)
        self.slider.sliderPressed.connect(lambda: self.held.emit(True))
        self.slider.sliderReleased.connect(lambda: self.held.emit(False))
        self.field.valueChanged.connect(self._on_field)

    def setToolTip(self, text: str) -> None:
        """Say the same about the slider and its field."""
        super().setToolTip(text)
        self.slider.setToolTip(text)
        self.field.setToolTip(text)

    def value(self) -> float:
        """Return the number."""
        return float(self.field.value())

    def set_value(self, value: float) -> None:
        """Show a number without announcing it."""
        self.field.set_value(value)
        self._place(value)

    def set_range(self, lowest: float, highest: float, *, typed: float | None = None) -> None:
        """Let the slider reach from one number to another; `typed` is what the field allows."""
        value = self.value()
        self._lowest, self._highest = lowest, highest
        blocked = self.field.blockSignals(True)
        self.field.setRange(lowest, highest if typed is None else typed)
        self.field.blockSignals(blocked)
        self.set_value(value)

    def _on_slider(self, place: int) -> None:
        value = self.number_at(place / STEPS)
        self.field.set_value(value)
        self.value_changed.emit(value)

    def _on_field(self, value: float) -> None:
        self._place(value)
        self.value_changed.emit(value)

    def _place(self, value: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round(STEPS * self.place_of(value)))
        self.slider.blockSignals(blocked)

    def number_at(self, place: float) -> float:
        """Return the number at a place from 0 (left) to 1 (right)."""
        number = self._lowest + place * (self._highest - self._lowest)
        return min(round(number, self._decimals), self._highest)

    def place_of(self, value: float) -> float:
        """Return the place of a number, from 0 (left) to 1 (right)."""
        place = (value - self._lowest) / (self._highest - self._lowest)
        return min(max(place, 0.0), 1.0)


class LogSlider(NumberSlider):
    """A logarithmic slider whose left end is zero.

    Parameters
    ----------
    lowest, highest
        Ends of the logarithmic range; zero lies left of it.
    tip
        Tooltip.
    """

    ZERO = 0.04
    """Share of the way that stands for zero."""

    def __init__(self, lowest: float, highest: float, *, tip: str = "") -> None:
        super().__init__(0.0, highest, decimals=4, tip=tip)
        self._smallest = lowest
        self._decades = math.log10(highest / lowest)

    def number_at(self, place: float) -> float:
        """Return the number at a place, with three significant digits."""
        if place < self.ZERO:
            return 0.0
        exponent = (place - self.ZERO) / (1 - self.ZERO) * self._decades
        return float(f"{self._smallest * 10**exponent:.3g}")

    def place_of(self, value: float) -> float:
        """Return the place of a number; numbers below the range are at its left end."""
        if value <= 0:
            return 0.0
        exponent = max(math.log10(value / self._smallest), 0.0)
        return self.ZERO + (1 - self.ZERO) * exponent / self._decades
