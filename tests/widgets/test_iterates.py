"""When unfinished results are shown: soon for slow models, after the usual time for quick ones."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from napari_smoother.study.analysis import Outcome
from napari_smoother.widgets import preview

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.widgets.session import Session


@pytest.mark.parametrize("first", [0.1, 0.3])
def test_iterates_come_after_the_first_wait_and_then_now_and_again(
    monkeypatch: pytest.MonkeyPatch, first: float
) -> None:
    clock = [5.0]
    monkeypatch.setattr(preview, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def run(request: Any, *, cancelled: Any, tell: Callable[[Any], None]) -> str:
        for _ in range(100):
            clock[0] += 0.01
            tell(Outcome(request, clock[0] - 5, finished=False, passing=True))
        return "optimum"

    worked_out: list[float] = []
    analysis: Any = SimpleNamespace(run=run, complete=worked_out.append)
    request: Any = None
    outcomes: list[Any] = []
    computation = preview._Computation(analysis, request, first)
    assert computation(lambda: False, outcomes.append) == "optimum"
    shown = [outcome.result for outcome in outcomes]
    assert worked_out == shown  # only of what is shown
    wanted = [first + preview.ITERATES_EVERY * step for step in range(len(shown))]
    assert len(shown) >= 3
    assert shown == pytest.approx(wanted, abs=0.05)


def test_quick_models_wait_as_long_as_they_usually_take(
    solved: Session,
    settle: Callable[[Session], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    made = preview._Computation

    def make(analysis: Any, request: Any, first: float) -> Any:
        if analysis is solved.study.composition_analysis:
            waits.append(first)
        return made(analysis, request, first)

    monkeypatch.setattr(preview, "_Computation", make)
    runner = solved.preview._runner
    for granted in (0.2, 1.2):
        runner._granted = granted
        now = solved.study.deconvolution
        solved.study.deconvolution = replace(now, lambda_=1.1 * now.lambda_)
        assert waits[-1] == min(granted, preview.LATEST_FIRST_ITERATE)
        settle(solved)
    solved.study.deconvolution = replace(solved.study.deconvolution, model="poisson", scale="raw")
    settle(solved)
    assert waits[-1] == preview.FIRST_ITERATE
