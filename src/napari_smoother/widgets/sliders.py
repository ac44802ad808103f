"""Sliders with the number beside them."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

STEPS = 1000

DIGITS = 12
"""Behind the point, of a number that is kept: more than anybody types."""


class ExactField(QDoubleSpinBox):
    """A field that shows four significant digits of a number and keeps all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(DIGITS)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setKeyboardTracking(False)

    def textFromValue(self, value: float) -> str:
        """Return the number as it is shown."""
        return f"{value:.4g}"


class NumberSlider(QWidget):
    """A slider from one number to another, with a field to type an exact one.

    A number that was set stays what it is, whatever the field shows of it, until the hand changes
    it.

    Parameters
    ----------
    lowest, highest
        Ends of the range.
    decimals
        Of the numbers that the slider can be moved to.
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
        self._lowest, self._highest = lowest, highest
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self._decimals = decimals
        self.field = ExactField()
        self.field.setRange(lowest, highest)
        self.field.setSingleStep(10.0**-decimals)
        self.field.setMinimumWidth(64)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.field)
        for widget in (self, self.slider, self.field):
            widget.setToolTip(tip)
        self.slider.valueChanged.connect(self._on_slider)
        self.slider.sliderPressed.connect(lambda: self.held.emit(True))
        self.slider.sliderReleased.connect(lambda: self.held.emit(False))
        self.field.valueChanged.connect(self._on_field)

    def value(self) -> float:
        """Return the number."""
        return float(self.field.value())

    def set_value(self, value: float) -> None:
        """Show a number without announcing it."""
        self._show(value)
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
        self._show(value)
        self.value_changed.emit(self.value())

    def _on_field(self, value: float) -> None:
        self._place(value)
        self.value_changed.emit(value)

    def _show(self, value: float) -> None:
        blocked = self.field.blockSignals(True)
        self.field.setValue(value)
        self.field.blockSignals(blocked)

    def _place(self, value: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round(STEPS * self.place_of(value)))
        self.slider.blockSignals(blocked)

    def number_at(self, place: float) -> float:
        """Return the number at a place from 0 (left) to 1 (right)."""
        return round(self._lowest + place * (self._highest - self._lowest), self._decimals)

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
