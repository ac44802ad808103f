"""What journals ask of figures: the widths of their columns, and the smallest text."""

from __future__ import annotations

WIDTHS_MM: dict[str, float] = {
    "Nature, one column": 89.0,
    "Nature, one and a half": 120.0,
    "Nature, two columns": 183.0,
    "Cell, one column": 85.0,
    "Cell, one and a half": 114.0,
    "Cell, two columns": 174.0,
    "Science, one column": 57.0,
    "Science, two columns": 121.0,
    "Science, three columns": 184.0,
    "PNAS, one column": 87.0,
    "PNAS, one and a half": 114.0,
    "PNAS, two columns": 178.0,
    "Elsevier, one column": 90.0,
    "Elsevier, one and a half": 140.0,
    "Elsevier, two columns": 190.0,
}
"""Millimetres, by journal and column."""

SMALLEST_TEXT = 5.0
"""Points; most journals print nothing smaller."""
