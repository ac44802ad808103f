"""How far the prior reaches: a curve of its correlation over distance, live under rho."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen, QPolygonF
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.prior_reach import PriorReach, length_in_words, reach_on
from napari_smoother.errors import InputError
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import follow_recipe, form, listen, reserved_label, silent
from napari_smoother.widgets.process_rows import ProcessRows
from napari_smoother.widgets.runner import LatestRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_smoother.widgets.session import Session

CURVE, MARK = "#5a9bd8", "#e0a84a"
BEYOND = 1.6
"""Of the distance at which correlation is 0.1 that the curve goes on."""

FEWEST = 8
"""Steps of the curve that are shown at least."""

TIP = (
    "Correlation of two spots under the prior over their distance: the mean over spots, and "
    "between which values eight of ten spots lie. It is found exactly, from a sample of spots to "
    "all others. λ scales the variance of the prior, not its correlation; data make spots agree "
    "over shorter distances than the prior alone. Point at the curve for its values"
)


class ReachCurve(QWidget):
    """Correlation under the prior over distance, or the variance of differences."""

    def __init__(self) -> None:
        super().__init__()
        self._reach: PriorReach | None = None
        self.setFixedHeight(104)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setToolTip(TIP)
        self.setAccessibleName("Correlation of the prior over distance")

    def show_reach(self, reach: PriorReach | None) -> None:
        """Draw a curve; None for an empty frame."""
        self._reach = reach if reach is not None and len(reach.distances) else None
        self.setAccessibleDescription("" if reach is None else reach.describe())
        self.update()

    def text_at(self, x: float) -> str:
        """Return the value of the curve at a place, in pixels from the left."""
        reach = self._reach
        if reach is None:
            return ""
        frame = self._frame()
        pointed = (x - frame.left()) / max(frame.width(), 1.0) * self._end
        at = int(np.argmin(np.abs(reach.distances - pointed)))
        what = "correlation" if reach.is_proper else "relative variance of differences"
        band = f"{reach.low[at]:.2g} to {reach.high[at]:.2g}"
        far = length_in_words(float(reach.distances[at]))
        return f"{far} {reach.unit}: {what} {reach.mean[at]:.2g} ({band})"

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the value under the mouse."""
        text = self.text_at(event.position().x())
        if text:
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    @property
    def _end(self) -> float:
        """Distance at the right."""
        reach = self._reach
        assert reach is not None
        last = float(reach.distances[-1])
        if not math.isfinite(reach.tenth):
            return last / 2  # pairs farther apart are few, at the ends of the section
        least = float(reach.distances[min(FEWEST, len(reach.distances)) - 1])
        return min(max(BEYOND * reach.tenth, least), last)

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(40, 4, -4, -18)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the band, the curve, its axes, and where it falls to 0.5 and 0.1."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        faint = QColor(text)
        faint.setAlphaF(0.45)
        frame, reach = self._frame(), self._reach
        painter.setPen(faint)
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.drawLine(frame.topLeft(), frame.bottomLeft())
        if reach is None:
            return
        shown = reach.distances <= self._end
        top = 1.0 if reach.is_proper else 1.2 * float(reach.mean[shown].max(initial=1.0))
        start = (0.0, 1.0) if reach.is_proper else (0.0, 0.0)

        def line(values: NDArray[np.float64]) -> list[QPointF]:
            pairs = [start, *zip(reach.distances[shown], values[shown], strict=True)]
            return [
                QPointF(
                    frame.left() + x / self._end * frame.width(),
                    frame.bottom() - min(max(y, 0.0), top) / top * frame.height(),
                )
                for x, y in pairs
            ]

        band = QColor(CURVE)
        band.setAlphaF(0.3)
        path = QPainterPath()
        path.addPolygon(QPolygonF([*line(reach.low), *reversed(line(reach.high))]))
        painter.fillPath(path, band)
        painter.setPen(QPen(QColor(CURVE), 2.0))
        painter.drawPolyline(QPolygonF(line(reach.mean)))
        if reach.is_proper:
            painter.setPen(QPen(QColor(MARK), 1.0, Qt.PenStyle.DashLine))
            for level, far in ((0.5, reach.half), (0.1, reach.tenth)):
                if math.isfinite(far) and far <= self._end:
                    x = frame.left() + far / self._end * frame.width()
                    y = frame.bottom() - level * frame.height()
                    painter.drawLine(QPointF(x, y), QPointF(x, frame.bottom()))
                    painter.drawLine(QPointF(frame.left(), y), QPointF(x, y))
        painter.setPen(text)
        below = QRectF(frame.left(), frame.bottom() + 1, frame.width(), 16)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(
            below, Qt.AlignmentFlag.AlignRight, f"{length_in_words(self._end)} {reach.unit}"
        )
        for level in (top, top / 2):
            y = frame.bottom() - level / top * frame.height()
            box = QRectF(0, max(y - 8, 0.0), frame.left() - 4, 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight, f"{level:.2g}")


class ReachPanel(QWidget):
    """Process and rho of the prior, and how far it reaches on the present graph.

    Nothing is computed before it is `active`.

    Parameters
    ----------
    session
        Whose study it is about.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.study = session.study
        self._ring = session.scene.graph.ring
        self.reach: PriorReach | None = None
        self._known: tuple[Any, ...] | None = None
        self._is_active = False
        rows = form()
        self.process_rows = ProcessRows(session, rows, with_lambda=False)
        self.curve = ReachCurve()
        self.text = reserved_label(3)
        self.ring = QCheckBox("Rings on the map")
        self.ring.setToolTip(
            "Rings around the spot pointed at, where the correlation of the prior falls to 0.5 "
            "(inner) and to 0.1 (outer)"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.curve)
        layout.addWidget(self.text)
        layout.addWidget(self.ring)
        self._runner = LatestRunner(self)
        self._runner.returned.connect(self._on_reach)
        self._runner.failed.connect(self._on_failed)
        session.closing.connect(self._runner.shut_down)
        self.ring.toggled.connect(lambda wanted: session.scene.change(reach=wanted))
        follow_recipe(self, self.study, lambda recipe: self._on_change())
        listen(self, self.study.graph_changed, self._on_change)
        listen(self, self.study.section_changed, self._on_section)
        self._on_change()

    @property
    def is_busy(self) -> bool:
        """Whether the reach is being found."""
        return self._runner.is_busy

    @property
    def active(self) -> bool:
        """Whether the reach follows graph and prior."""
        return self._is_active

    @active.setter
    def active(self, active: bool) -> None:
        self._is_active = active
        if active:
            self._ring.show(self.reach)
            self._on_change()
        else:
            if self._runner.is_busy:
                self._known = None  # what is cancelled is not known
                self._runner.cancel()
            self._ring.show(None)

    def _on_section(self, section: object) -> None:
        self._show(None, "")
        self._known = None

    def _on_change(self) -> None:
        with silent(self.ring):
            self.ring.setChecked(self.study.recipe.shown.reach)
        graph, prior = self.study.graph, self.study.deconvolution
        if graph is None or not self._is_active:
            return
        wanted = (graph.weights, prior.process, prior.rho)
        if self._known is not None and all(
            one is other or (isinstance(one, str | float) and one == other)
            for one, other in zip(self._known, wanted, strict=True)
        ):
            return
        self._known = wanted
        pixel = graph.section.micrometres_per_pixel
        positions = graph.section.positions * (pixel or 1.0)
        unit = "pixels" if pixel is None else "µm"

        def find(cancelled: Callable[[], bool], report: Callable[[Any], None]) -> Any:
            weights, process, rho = wanted
            found = reach_on(
                weights, positions, process, rho, unit=unit, context=Context(cancelled)
            )
            return wanted, found

        self._runner.submit(find)

    def _on_reach(self, found: tuple[tuple[Any, ...], PriorReach]) -> None:
        wanted, reach = found
        if self._known is not None and wanted[0] is self._known[0]:
            followed = f", followed from {reach.n_spots:,} spots" if reach.is_proper else ""
            self._show(reach, f"{reach.describe()}{followed}.")

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, InputError):
            self._show(None, f"{error.problem}. {error.remedy}.")
        else:
            self._show(None, "")
            tell_error(error)

    def _show(self, reach: PriorReach | None, text: str) -> None:
        self.reach = reach
        self.curve.show_reach(reach)
        self.text.setText(text)
        if self._is_active:
            self._ring.show(reach)
