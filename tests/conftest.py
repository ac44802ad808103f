"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TISSUE = Path(__file__).resolve().parents[2] / "shared" / "data"

_display = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several workers a display of its own: windows on one take focus in turn."""
    is_worker = hasattr(config, "workerinput")
    if not is_worker or "NAPARI_SMOOTHER_VIRTUAL_DISPLAY" not in os.environ:
        return
    reading, writing = os.pipe()
    screen = ["-screen", "0", "1680x1050x24", "+extension", "GLX", "-nolisten", "tcp"]
    command = ["Xvfb", "-displayfd", str(writing), *screen]
    config.stash[_display] = subprocess.Popen(
        command, pass_fds=[writing], stderr=subprocess.DEVNULL
    )
    os.close(writing)
    with os.fdopen(reading) as told:
        os.environ["DISPLAY"] = f":{told.readline().strip()}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take it away again."""
    if _display in config.stash:
        config.stash[_display].terminate()
        config.stash[_display].wait()


@pytest.fixture(scope="session")
def tissue() -> Path:
    """Folder of real sections; skips where it is not at hand."""
    if not TISSUE.is_dir():
        pytest.skip(f"real sections not found: {TISSUE} is missing")
    return TISSUE
