"""Draws the figure for its preview in a thread, and sharper where it is enlarged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_smoother.analyses.context import Context
from napari_smoother.errors import InputError
from napari_smoother.figures.save import rendered
from napari_smoother.widgets import figure_saving
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.runner import LatestRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.printing.plan import Drawn, FigurePlan
    from napari_smoother.widgets.figure_preview import FigurePreview
    from napari_smoother.widgets.session import Session

    Shown = tuple[FigurePlan, Drawn, NDArray[np.uint8], float, float]


class FigureDrawing:
    """Keeps the preview as the file would be.

    Parameters
    ----------
    session
        Whose figure.
    preview
        Where it is shown.
    is_looked_at
        Whether it is worth drawing.
    """

    def __init__(
        self, session: Session, preview: FigurePreview, is_looked_at: Callable[[], bool]
    ) -> None:
        self.session = session
        self.preview = preview
        self._is_looked_at = is_looked_at
        self._runner = LatestRunner(session)
        self._runner.returned.connect(self._show)
        self._runner.failed.connect(self._tell)
        session.closing.connect(self._runner.shut_down)
        preview.sharper_wanted.connect(self._draw_sharper)
        self._last: tuple[FigurePlan, Drawn] | None = None
        self._is_outdated = False

    @property
    def is_busy(self) -> bool:
        """Whether it is being drawn."""
        return self._runner.is_busy

    def draw(self) -> None:
        """Draw the figure as it is asked for now."""
        if not self._is_looked_at() or self.session.study.section is None:
            return
        try:
            planned = figure_saving.take_plan(self.session)
        except InputError as error:
            self._tell(error)
            return
        dpi = self.preview.wanted_dpi(planned.settings.width_mm / 25.4)
        self.preview.facts.setText("drawing …")
        self._is_outdated = True

        def work(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> Shown:
            began = time.perf_counter()
            context = Context(cancelled)
            drawn = planned.compose(context)
            pixels = rendered(drawn.figure, dpi, context)
            return planned, drawn, pixels, dpi, time.perf_counter() - began

        self._runner.submit(work)

    def _draw_sharper(self) -> None:
        """Draw the same figure again, as sharp as it is enlarged."""
        if self._last is None:
            return
        if self._is_outdated:
            self.draw()  # which is under way, but for another size
            return
        planned, drawn = self._last
        dpi = self.preview.wanted_dpi(planned.settings.width_mm / 25.4)

        def work(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> Shown:
            began = time.perf_counter()
            pixels = rendered(drawn.figure, dpi, Context(cancelled))
            return planned, drawn, pixels, dpi, time.perf_counter() - began

        self._runner.submit(work)

    def _show(self, shown: Shown) -> None:
        planned, drawn, pixels, dpi, seconds = shown
        self._last, self._is_outdated = (planned, drawn), False
        self.preview.show_pixels(pixels, dpi)
        settings = planned.settings
        width, height = drawn.figure.get_size_inches()
        columns, rows = (int(round(side * settings.dpi, 6)) for side in (width, height))
        facts = (
            f"{width * 25.4:.0f} × {height * 25.4:.0f} mm · {columns:,} × {rows:,} pixels at "
            f"{settings.dpi} dpi"
        )
        self.preview.show_facts(
            facts,
            "\n".join(
                filter(None, (drawn.remark, figure_saving.picture_remark(drawn, settings.dpi)))
            ),
        )
        self.preview.facts.setToolTip(f"Drawn in {seconds:.2f} s")

    def _tell(self, error: BaseException) -> None:
        """Say in the preview what the user can mend; anything else as every fault is told."""
        self._last, self._is_outdated = None, False
        self.preview.clear()
        if isinstance(error, InputError):
            self.preview.show_facts("", str(error))
        else:
            tell_error(error)
