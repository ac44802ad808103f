"""Points of many dims laid out in a plane, so that near ones stay near: UMAP."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import Cancelled, InputError, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MISSING = "UMAP needs umap-learn"
REMEDY = "Install the extra: pip install 'napari-smoother[umap]'"
LOOK_UP_EVERY = 0.05
"""Seconds between looks at whether to stop."""

SCRIPT = Path(__file__).with_name("umap_process.py")


def is_installed() -> bool:
    """Whether umap-learn is there; it is not imported."""
    return find_spec("umap") is not None


def lay_out(
    points: NDArray[np.floating],
    *,
    neighbours: int = 15,
    minimum_distance: float = 0.1,
    seed: int = 0,
    tell: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float64]:
    """Lay points out in a plane by UMAP (McInnes, Healy and Melville 2018).

    Parameters
    ----------
    points
        n x dims, finite.
    neighbours
        How many nearest points each point is drawn to, fewer than n.
    minimum_distance
        How close points may come in the plane, 0 to 1.
    seed
        The same one ends in the same places, on one machine.
    tell
        Told how many epochs are done, and of how many; 0 of 0 before the first.
    cancelled
        Asked twenty times a second; True ends the process that does the work.

    Returns
    -------
    ndarray
        n x 2 float64.

    Raises
    ------
    InputError
        If umap-learn is missing, fails, or there are too few points.
    Cancelled
        If ``cancelled`` returned True.
    """
    require(is_installed(), MISSING, "umap", REMEDY)
    require(
        len(points) > neighbours,
        f"{len(points):,} spots do not have {neighbours} neighbours each",
        "umap neighbours",
        f"Set at most {len(points) - 1}" if len(points) > 2 else "Take more spots",
    )
    settings = {"neighbours": neighbours, "minimum_distance": minimum_distance, "seed": seed}
    with TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "points.npy", np.ascontiguousarray(points, dtype=np.float32))
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        process = _idle.take()
        try:
            _follow(process, folder, tell, cancelled)
        except BaseException:
            _end(process)
            raise
        _idle.give(process)
        fault = folder / "fault.txt"
        if fault.exists():
            raise InputError(
                f"UMAP failed: {fault.read_text(encoding='utf-8')}",
                where="umap",
                remedy="Choose other settings or another embedding",
            )
        places: NDArray[np.float64] = np.load(folder / "places.npy")
        return places


def _follow(
    process: subprocess.Popen[bytes],
    folder: Path,
    tell: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Hand a folder to a process, and wait until it is laid out or has failed."""
    assert process.stdin is not None
    with suppress(OSError):  # it has ended, which is seen below
        process.stdin.write(f"{folder}\n".encode())
        process.stdin.flush()
    told = None
    while not any((folder / name).exists() for name in ("places.npy", "fault.txt")):
        if cancelled is not None and cancelled():
            raise Cancelled("the layout was cancelled")
        if process.poll() is not None:
            raise InputError(
                f"UMAP ended with exit code {process.returncode}",
                where="umap",
                remedy="Close what takes much memory, or lay out fewer spots",
            )
        if tell is not None and told != (far := _epochs(folder / "far.txt")):
            told = far
            tell(*far)
        time.sleep(LOOK_UP_EVERY)


def _epochs(far: Path) -> tuple[int, int]:
    """Return how many epochs are done, and of how many."""
    text = far.read_text(encoding="utf-8") if far.exists() else ""
    found = re.findall(r"(\d+)/(\d+)", text)
    done, total = found[-1] if found else (0, 0)
    return int(done), int(total)


class _IdleProcess:
    """The process that has laid out something before, and is quick at the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def take(self) -> subprocess.Popen[bytes]:
        """Return a process that waits for folders."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and process.poll() is None:
            return process
        return subprocess.Popen(
            # Without -P names beside the script would hide modules it imports.
            [sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONIOENCODING": "utf-8",
            },
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )

    def give(self, process: subprocess.Popen[bytes]) -> None:
        """Keep a process for the next layout; one is enough."""
        with self._lock:
            process, self._process = self._process or process, process
        if process is not self._process:
            _end(process)

    def end(self) -> None:
        """End the process that is kept."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(OSError), process:  # waits, and closes what leads to it
        pass


_idle = _IdleProcess()
atexit.register(_idle.end)
