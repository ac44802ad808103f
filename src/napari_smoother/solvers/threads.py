"""One thread for BLAS while spots are shared out over threads of our own.

Two layers of threads on the same cores wait for each other: on a busy machine the same products
take ten times as long. Norms and products of spots x types are too small for threads as well:
handing them over takes longer than doing them.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = Lock()
_inside = 0
_limit: Any = None


@cache
def _controller() -> Any:
    # It brings a BLAS of its own, which can be held only once it is there.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _take_control() -> None:
    """Let this thread set the limit: others do nothing, in silence, while one has control."""
    for library in _controller().lib_controllers:
        clear = getattr(library, "clear_controlling_thread", None)  # from threadpoolctl 3.7 on
        if clear is not None:
            clear(force=True)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread; the last of several at once gives its threads back."""
    global _inside, _limit
    with _lock:
        _inside += 1
        if _inside == 1:
            _take_control()
            _limit = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _take_control()
                _limit.restore_original_limits()
                _take_control()
