"""From what callers ask of a long computation to what the compiled core needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_smoother.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother._core import Watch


def watch(
    cancelled: Callable[[], bool] | None,
    report: Callable[[NDArray[Any], float], None] | None = None,
    *,
    shape: tuple[int, ...] = (-1,),
    what: str = "the solve",
) -> Watch | None:
    """Return what the core calls every few milliseconds while a job runs beside it.

    Parameters
    ----------
    cancelled
        Asked now, and at every call.
    report
        Called with the latest iterate and its residual, when there is a new one.
    shape
        Of iterates.
    what
        Named when it is cancelled.

    Returns
    -------
    callable or None
        None where nobody asks, so that the job runs in the calling thread.

    Raises
    ------
    Cancelled
        If ``cancelled`` returns True now.
    """
    if cancelled is None and report is None:
        return None

    def look(step: int, residual: float, iterate: NDArray[Any] | None) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled(f"{what} was cancelled")
        if report is not None and iterate is not None:
            report(iterate.reshape(shape), residual)

    look(0, -1.0, None)
    return look
