"""A pure function that remembers its last inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from napari_smoother.analyses.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output")


class ComparedByValue:
    """Base of small immutable records that a stage compares by value."""

    __slots__ = ()


def _is_unchanged(before: Any, now: Any) -> bool:
    """Whether an input is the same: by value for settings, by identity for data."""
    if before is now or isinstance(now, Context):
        return True
    compared_by_value = isinstance(now, str | int | float | ComparedByValue)
    return compared_by_value and type(before) is type(now) and bool(before == now)


class Stage(Generic[Inputs, Output]):
    """One step of a pipeline, run again only when an input has changed.

    Settings (numbers, strings, immutable records) are compared by value, data (arrays,
    matrices, sections) by identity: a pipeline never compares large arrays, so data must be
    replaced, not changed in place. A `Context` is handed on, but neither compared nor kept: who
    asks does not change what is found.

    Parameters
    ----------
    function
        A function whose result depends on its arguments alone.

    Attributes
    ----------
    runs : int
        How often the function has been run.
    """

    def __init__(self, function: Callable[Inputs, Output]) -> None:
        self._function = function
        # One reference, so that a reader in another thread never sees inputs without their output.
        self._memory: tuple[tuple[Any, ...], Output] | None = None
        self.runs = 0

    def __call__(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        """Return the function's result for these inputs, remembered where possible."""
        inputs = (*args, *kwargs.values())
        memory = self._memory
        if memory is not None:
            before, output = memory
            if len(before) == len(inputs) and all(map(_is_unchanged, before, inputs)):
                return output
        output = self._function(*args, **kwargs)
        kept = tuple(None if isinstance(given, Context) else given for given in inputs)
        self._memory = kept, output
        self.runs += 1
        return output
