"""A field for the exact number of a limit, or for none."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit

from napari_smoother.errors import InputError
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.sliders import number_in

NONE = "no limit"


class LimitField(QLineEdit):
    """A number that is kept exactly as it was typed or set; an empty field is no limit.

    Parameters
    ----------
    name
        What is limited, for who does not see it.
    tip
        Tooltip.
    whole
        Whether it is a whole number.

    Attributes
    ----------
    value_changed
        Emitted with the number, or None, when the hand changed it.
    """

    value_changed = Signal(object)

    def __init__(self, name: str, tip: str, *, whole: bool) -> None:
        super().__init__()
        self._value: float | None = None
        self._whole = whole
        self.setPlaceholderText(NONE)
        self.setClearButtonEnabled(False)
        self.setMinimumWidth(72)
        self.setAccessibleName(name)
        self.setToolTip(tip)
        self.editingFinished.connect(self._take)

    def value(self) -> float | None:
        """Return the number; None for no limit."""
        return self._value

    def set_value(self, value: float | None) -> None:
        """Show a number without announcing it; what is being typed gives way to it."""
        self._value = value
        self.setText("" if value is None else f"{value:.15g}")

    def _take(self) -> None:
        before, text = self._value, self.text().strip()
        if not text:
            value = None
        else:
            value = number_in(text)
            if not 0 <= value < float("inf") or (self._whole and value != round(value)):
                self.set_value(before)
                kind = "a whole number" if self._whole else "a number"
                tell_error(
                    InputError(
                        f"{text!r} cannot be a limit",
                        where=self.accessibleName(),
                        remedy=f"Type {kind} of at least 0, or nothing for no limit",
                    )
                )
                return
            value = int(value) if self._whole else value
        if value != before:
            self._value = value
            self.value_changed.emit(value)
