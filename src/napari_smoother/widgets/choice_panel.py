"""Choosing rho and lambda by held-out genes: the button, and the curve that led to the choice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import (
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses import choice as choosing
from napari_smoother.analyses.choice import ChoiceSettings
from napari_smoother.analyses.context import Context, Progress
from napari_smoother.analyses.deconvolution_steps import can_deviate
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.widgets.notices import tell_error, tell_warning
from napari_smoother.widgets.page import follow_recipe, listen, wrapped_label
from napari_smoother.widgets.runner import Runner
from napari_smoother.widgets.session import heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.models.judged_choice import Choice
    from napari_smoother.widgets.session import Session

CURVE = "#8ab4f8"
CHOSEN = "#f28b54"
TIP = (
    "Tries a grid of ρ and λ, each fitted without some of the genes, and takes the one that "
    "predicts those best"
)
NO_CHOICE = (
    "Held-out genes choose for least squares (linear and non-negative) under CAR, SAR, ICAR and "
    "ISAR. λ means about the same in every model: choose with one of those, then change the model"
)
CURVE_TIP = (
    "Mean error at genes that were held out, over λ on a logarithmic scale; the band is one "
    "standard error of the difference from the best. Click to take a λ"
)
STEEPEST = 4.0
"""Height of the plot relative to what smoothing gains over the smallest lambda."""


class ErrorCurve(QWidget):
    """Error at held-out genes over lambda, at the best rho, with its standard error.

    Attributes
    ----------
    lambda_clicked
        Emitted with the lambda of the grid that is nearest to a click.
    """

    lambda_clicked = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._choice: Choice | None = None
        self._lambdas: NDArray[np.float64] = np.empty(0)
        self._in_use: float | None = None
        self.setFixedHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(CURVE_TIP)

    def show_choice(self, choice: Choice | None) -> None:
        """Draw the curve of a choice; None for none."""
        self._choice = choice
        if choice is not None:
            self._lambdas = choice.lambdas[choice.lambdas > 0]  # the axis is logarithmic
        self.setVisible(choice is not None)
        self.update()

    def show_in_use(self, lambda_: float | None) -> None:
        """Mark the lambda that is in use, where it is another than the chosen one."""
        self._in_use = lambda_
        self.update()

    def place_of(self, lambda_: float) -> float:
        """Where a lambda lies, in pixels from the left."""
        lambdas = self._lambdas
        across = np.log(lambda_ / lambdas[0]) / max(np.log(lambdas[-1] / lambdas[0]), 1e-9)
        frame = self._frame()
        return float(frame.left() + across * frame.width())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what the error is at the lambda under the mouse."""
        if self._choice is not None:
            text = self._choice.describe_at(self._nearest(event.position().x()))
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the lambda under the mouse."""
        if self._choice is not None and event.button() == Qt.MouseButton.LeftButton:
            self.lambda_clicked.emit(self._nearest(event.position().x()))

    def event(self, event: QEvent) -> bool:
        """Keep the text of a lambda while the mouse rests on it."""
        if event.type() == QEvent.Type.ToolTip and QToolTip.isVisible():
            return True
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the band, the curve, the chosen lambda and the one in use."""
        choice = self._choice
        if choice is None:
            return
        row, shown = choice.row, choice.lambdas > 0
        across = [self.place_of(lambda_) for lambda_ in self._lambdas]
        mean, error = choice.mean[row, shown], choice.standard_error[row, shown]
        low, high = (mean - error).min(), (mean + error).max()
        if mean[0] > low:
            # Far too much smoothing is so wrong that nothing else would be seen beside it.
            high = min(high, low + STEEPEST * (mean[0] - low))
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = self._frame()

        def line(values: NDArray[np.float64]) -> list[QPointF]:
            up = (values - low) / max(high - low, 1e-300)
            heights = frame.bottom() - up * frame.height()
            return [QPointF(x, y) for x, y in zip(across, heights, strict=True)]

        painter.setClipRect(frame)
        band = QPainterPath()
        band.addPolygon(QPolygonF([*line(mean + error), *reversed(line(mean - error))]))
        colour = QColor(CURVE)
        colour.setAlphaF(0.25)
        painter.fillPath(band, colour)
        painter.setPen(QPen(QColor(CURVE), 1.5))
        painter.drawPolyline(QPolygonF(line(mean)))
        text = self.palette().text().color()
        marks = {choice.lambda_: QPen(QColor(CHOSEN), 1.5)}
        if self._in_use is not None:
            marks.setdefault(self._in_use, QPen(text, 1.0, Qt.PenStyle.DashLine))
        for lambda_, pen in marks.items():
            if lambda_ > 0:
                painter.setPen(pen)
                x = self.place_of(lambda_)
                painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        painter.setClipping(False)
        painter.setPen(text)
        first, last = np.log10(self._lambdas[[0, -1]])
        for decade in range(int(np.ceil(first)), int(np.floor(last)) + 1):
            label = QRectF(self.place_of(10.0**decade) - 30, frame.bottom() + 2, 60, 16)
            painter.drawText(label, Qt.AlignmentFlag.AlignHCenter, f"{10.0**decade:g}")

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(18, 4, -18, -18)

    def _nearest(self, x: float) -> float:
        """Return the lambda of the grid nearest to a place."""
        return float(min(self._lambdas, key=lambda lambda_: abs(self.place_of(lambda_) - x)))


class ChoicePanel(QWidget):
    """Chooses rho and lambda in a thread worker and sets the study to them.

    Parameters
    ----------
    session
        Whose study to choose for.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.study = session.study
        self._choosing = False
        self.button = QPushButton("Choose ρ and λ for me")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Leaves ρ and λ as they are")
        self.stop.setEnabled(False)
        self._choice: Choice | None = None
        self.text = wrapped_label()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.caveat = wrapped_label()
        self.caveat.setTextFormat(Qt.TextFormat.PlainText)
        self.caveat.setStyleSheet(f"color: {CHOSEN}")
        self.curve = ErrorCurve()
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.text)
        layout.addWidget(self.caveat)
        layout.addWidget(self.curve)
        self.runner = Runner(self)
        self.runner.returned.connect(self._on_choice)
        self.runner.reported.connect(self._on_progress)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(lambda: self._rest("stopped"))
        self.button.clicked.connect(self.choose)
        self.stop.clicked.connect(self.runner.cancel)
        self.curve.lambda_clicked.connect(self.take)
        session.closing.connect(self.runner.shut_down)
        session.under_way.watch(self.runner)
        listen(self, self.study.reference_changed, self._forget)
        follow_recipe(self, self.study, self._show_settings)
        self._forget()

    def choose(self) -> None:
        """Begin to choose."""
        study = self.study
        reference, graph = study.reference, study.analysed_graph
        if reference is None or graph is None:
            return
        settings = ChoiceSettings.of(study.deconvolution)
        self._choosing = True
        self._allow()
        self.stop.setEnabled(True)
        self.text.setText("choosing …")

        def job(
            cancelled: Callable[[], bool], report: Callable[[Progress], None]
        ) -> tuple[Choice, list[str]]:
            def find(cancelled: Callable[[], bool]) -> Choice:
                return choosing.compute(
                    SectionCounts.of(graph.section),
                    reference,
                    graph.weights,
                    settings,
                    Context(cancelled, report),
                ).choice

            return heard(find, cancelled)

        self.runner.submit(job, "choosing ρ and λ")

    def take(self, lambda_: float) -> None:
        """Set the study to a lambda of the curve, and to the rho that the curve is for."""
        choice = self._choice
        if choice is not None:
            self.study.deconvolution = replace(
                self.study.deconvolution,
                process=choice.process,
                rho=choice.rho,
                lambda_=lambda_,
            )

    def _on_choice(self, found: tuple[Choice, list[str]]) -> None:
        choice, remarks = found
        self._choice = choice
        self.curve.show_choice(choice)
        self._rest(choice.describe())
        self.caveat.setText(choice.caveat)
        self.caveat.setVisible(bool(choice.caveat))
        for remark in remarks:
            tell_warning(remark)
        self.take(choice.lambda_)
        QTimer.singleShot(0, self._bring_into_view)  # once the texts have their height

    def _bring_into_view(self) -> None:
        area = self.parent()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parent()
        if area is not None:
            area.ensureWidgetVisible(self.curve)

    def _show_settings(self, recipe: Recipe) -> None:
        self._allow()
        choice, chosen = self._choice, recipe.deconvolution
        if choice is None:
            return
        on_curve = (chosen.process, chosen.rho) == (choice.process, choice.rho)
        in_use = chosen.lambda_ if on_curve else None
        self.curve.show_in_use(in_use)
        beside = ""
        if in_use is not None and in_use in choice.lambdas and in_use != choice.lambda_:
            beside = f" In use: {choice.describe_at(in_use)}."
        if not self._choosing:
            self.text.setText(choice.describe() + beside)

    def _on_progress(self, progress: Progress) -> None:
        self.text.setText(f"choosing … {progress.done} of {progress.total} fits")

    def _on_failed(self, error: Exception) -> None:
        self._rest("")
        tell_error(error)

    def _rest(self, text: str) -> None:
        self._choosing = False
        self._allow()
        self.stop.setEnabled(False)
        self.text.setText(text)
        self.text.setVisible(bool(text))

    def _allow(self) -> None:
        """Offer the choice only where it is defined, and say so."""
        defined = can_deviate(self.study.deconvolution)
        free = not self._choosing and self.study.reference is not None
        self.button.setEnabled(defined and free)
        self.button.setToolTip(TIP if defined else NO_CHOICE)

    def _forget(self) -> None:
        self.runner.cancel()
        self._choice = None
        self.caveat.hide()
        self.curve.show_choice(None)
        self._rest("")
