"""Fixtures shared by the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest

TISSUE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def tissue() -> Path:
    """Folder of real sections; skips where it is not at hand."""
    if not TISSUE.is_dir():
        pytest.skip(f"real sections not found: {TISSUE} is missing")
    return TISSUE
