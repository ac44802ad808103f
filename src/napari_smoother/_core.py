"""The compiled core, in the build for the best instruction set that this processor has.

The environment variable ``NAPARI_SMOOTHER_LEVEL`` (``x86_64_v2``, ``x86_64_v3``, ``x86_64_v4`` or
``arm64``) forces one, and ``NAPARI_SMOOTHER_THREADS`` sets the number of threads.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

LEVELS = ("x86_64_v4", "x86_64_v3", "x86_64_v2", "arm64")
"""Instruction sets the core is built for, the best first."""


def _module(level: str) -> str:
    return f"napari_smoother._core_{level}"


def _chosen() -> Any:
    built = [level for level in LEVELS if find_spec(_module(level)) is not None]
    if not built:
        raise ImportError(
            "The compiled core of napari-smoother is not built. Install the package with pip "
            "(a source checkout: pip install .), which builds it"
        )
    forced = os.environ.get("NAPARI_SMOOTHER_LEVEL", "")
    if forced:
        if forced not in built:
            raise ImportError(
                f"NAPARI_SMOOTHER_LEVEL is {forced!r}; this installation has {', '.join(built)}"
            )
        return import_module(_module(forced))
    # The lowest build runs on everything that is supported, and can ask the processor.
    lowest = import_module(_module(built[-1]))
    best = lowest.best_level()
    supported = [level for level in built if level <= best or level == "arm64"]
    if not supported:
        raise ImportError(
            f"napari-smoother needs a processor of the level {built[-1]}, and this one has {best}"
        )
    return import_module(_module(supported[0]))


_module_in_use = _chosen()
if os.environ.get("NAPARI_SMOOTHER_THREADS"):
    _module_in_use.set_thread_count(int(os.environ["NAPARI_SMOOTHER_THREADS"]))


def __getattr__(name: str) -> Any:
    return getattr(_module_in_use, name)


def __dir__() -> list[str]:
    return sorted(name for name in dir(_module_in_use) if not name.startswith("_"))
