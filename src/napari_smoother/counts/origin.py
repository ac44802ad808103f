"""Where counts come from, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counts", "restored", "normalised"]
"""Whole numbers as stored; whole numbers once a logarithm is undone; or neither."""


@dataclass(frozen=True, slots=True)
class CountsOrigin:
    """Where counts were found, and what had to be done to read them.

    Parameters
    ----------
    place
        ``"X"``, ``"raw.X"`` or ``'layers["counts"]'``.
    kind
        ``"counts"`` for whole numbers; ``"restored"`` for whole numbers once a logarithm was
        undone; ``"normalised"`` for values that are neither.
    base
        Base of the logarithm that was undone; None for none.
    places
        All matrices that could be taken instead, spelled like `place`.
    """

    place: str = "X"
    kind: Kind = "counts"
    base: float | None = None
    places: tuple[str, ...] = ()

    @property
    def logarithm(self) -> str:
        """Name of the logarithm that was undone; empty for none."""
        if self.base is None:
            return ""
        return "log1p" if self.base == math.e else f"log{self.base:g}(1 + x)"

    def describe(self) -> str:
        """Say it in a line, as it stands in reports and in the window."""
        if self.kind == "normalised":
            undone = f" ({self.logarithm} undone)" if self.base else ""
            return f"no counts: normalised values of {self.place}{undone}"
        return f"counts from {self.place}" + (f", {self.logarithm} undone" if self.base else "")

    @property
    def consequence(self) -> str:
        """What follows for results; empty where counts were found."""
        if self.kind != "normalised":
            return ""
        how = f"as {self.logarithm} of expression" if self.base else "as they are"
        return (
            f"{self.place} holds no whole-number counts: its values are read {how}. "
            "Least squares finds shares from them; models of counts and totals of cells need the "
            'raw counts: store them in X, in layers["counts"] or in raw'
        )


AS_STORED = CountsOrigin()
"""Whole numbers in ``X``."""
