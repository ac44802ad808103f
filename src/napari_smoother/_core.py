"""The compiled core, in the build for the best instruction set that this processor has.

The environment variable ``NAPARI_SMOOTHER_LEVEL`` (``x86_64_v2``, ``x86_64_v3``, ``x86_64_v4`` or
``arm64``) forces one, and ``NAPARI_SMOOTHER_THREADS`` sets the number of threads.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_BUILDS = ("x86_64_v4", "x86_64_v3", "x86_64_v2", "arm64")
"""Instruction sets that there are builds for, the best first."""

_MOST_THREADS = 64


def _module(level: str) -> str:
    return f"napari_smoother._core_{level}"


def _usable_levels() -> tuple[str, ...]:
    installed = [level for level in _BUILDS if find_spec(_module(level)) is not None]
    if not installed:
        raise ImportError(
            "The compiled core of napari-smoother is not built for this Python. Install the "
            "package with pip (in a checkout: pip install .), which builds it"
        )
    # The lowest runs wherever the package does, and can ask the processor what else it has.
    best = import_module(_module(installed[-1])).best_level()
    usable = tuple(level for level in installed if level <= best)
    if not usable:
        raise ImportError(
            f"This installation of napari-smoother needs a processor of the level "
            f"{installed[-1]}; this one has {best}"
        )
    return usable


def _chosen(usable: tuple[str, ...]) -> ModuleType:
    level = os.environ.get("NAPARI_SMOOTHER_LEVEL") or usable[0]
    if level not in usable:
        raise ImportError(
            f"NAPARI_SMOOTHER_LEVEL is {level!r}; there are {', '.join(usable)} for this processor"
        )
    return import_module(_module(level))


def _set_threads(core: ModuleType) -> None:
    setting = os.environ.get("NAPARI_SMOOTHER_THREADS")
    if not setting:
        return
    if not (setting.isdecimal() and 1 <= int(setting) <= _MOST_THREADS):
        raise ImportError(
            f"NAPARI_SMOOTHER_THREADS is {setting!r}; set a whole number from 1 to {_MOST_THREADS}"
        )
    core.set_thread_count(int(setting))


LEVELS = _usable_levels()
"""Instruction sets that can be used here, the best first."""

_in_use = _chosen(LEVELS)
_set_threads(_in_use)
globals().update({name: value for name, value in vars(_in_use).items() if name[0] != "_"})
