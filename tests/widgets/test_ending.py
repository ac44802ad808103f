"""Programs end as they should while jobs run, and windows close during each kind of job."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).with_name("ending_programs.py")
BINDINGS = {"PyQt6": "pyqt6", "PySide6": "pyside6"}


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return BINDINGS[request.param]


@pytest.mark.parametrize(
    ("program", "code", "error"),
    [
        ("raises", 1, "ValueError: of the program"),
        ("exits", 3, ""),
        ("comes_to_its_end", 0, ""),
        ("quits", 0, ""),
        ("lets_runners_go", 0, ""),
        ("writes_to_the_end", 0, ""),
        ("raises_beside_a_window", 1, "ValueError: of the program"),
        ("comes_to_its_end_beside_a_window", 0, ""),
        ("closes_a_window_never_shown", 0, ""),
        ("closes_a_window_at_once", 0, ""),
        ("closes_windows_during_each_kind_of_job", 0, ""),
    ],
)
def test_a_program_ends_as_it_should(
    binding: str, program: str, code: int, error: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, str(PROGRAMS), program, str(tmp_path)],
        env={**os.environ, "QT_API": binding},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert error in ended.stderr
    assert ended.stderr.count("Traceback") == bool(error), ended.stderr
    assert "Error" not in ended.stdout, ended.stdout
    assert ("written" in ended.stdout) == (program == "writes_to_the_end")
