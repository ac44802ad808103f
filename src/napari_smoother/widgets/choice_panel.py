"""Choosing rho and lambda by held-out genes: the button, and the curve that led to the choice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_smoother.errors import Cancelled
from napari_smoother.models.choice import Choice, choose
from napari_smoother.models.deconv.catalogue import data_scale
from napari_smoother.study.fitting import can_deviate
from napari_smoother.widgets.notices import tell_error, tell_warning
from napari_smoother.widgets.page import listen, wrapped_label
from napari_smoother.widgets.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

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
STEEPEST = 4.0
"""Height of the plot relative to what smoothing gains over the smallest lambda."""


class ErrorCurve(QWidget):
    """Error at held-out genes over lambda, at the best rho, with its standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._choice: Choice | None = None
        self.setFixedHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Mean error at genes that were held out, over λ on a logarithmic scale; the band is "
            "one standard error of the difference from the best"
        )

    def show_choice(self, choice: Choice | None) -> None:
        """Draw the curve of a choice; None for none."""
        self._choice = choice
        self.setVisible(choice is not None)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the band, the curve and the chosen lambda."""
        choice = self._choice
        if choice is None:
            return
        row = int(np.argmin(np.abs(choice.rhos - choice.rho)))
        shown = choice.lambdas > 0
        places = np.log10(choice.lambdas[shown])
        mean, error = choice.mean[row, shown], choice.standard_error[row, shown]
        low, high = (mean - error).min(), (mean + error).max()
        if mean[0] > low:
            # Far too much smoothing is so wrong that nothing else would be seen beside it.
            high = min(high, low + STEEPEST * (mean[0] - low))
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(18, 4, -18, -18)
        spread = max(float(places[-1] - places[0]), 1e-9)

        def point(place: float, value: float) -> QPointF:
            across = (place - places[0]) / spread
            up = (value - low) / max(high - low, 1e-300)
            return QPointF(
                frame.left() + across * frame.width(), frame.bottom() - up * frame.height()
            )

        painter.setClipRect(frame)
        band = QPainterPath()
        above = [point(x, y) for x, y in zip(places, mean + error, strict=True)]
        below = [point(x, y) for x, y in zip(places, mean - error, strict=True)]
        band.addPolygon(QPolygonF([*above, *reversed(below)]))
        colour = QColor(CURVE)
        colour.setAlphaF(0.25)
        painter.fillPath(band, colour)
        painter.setPen(QPen(QColor(CURVE), 1.5))
        painter.drawPolyline(QPolygonF([point(x, y) for x, y in zip(places, mean, strict=True)]))
        if choice.lambda_ > 0:
            painter.setPen(QPen(QColor(CHOSEN), 1.5))
            x = point(float(np.log10(choice.lambda_)), low).x()
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        painter.setClipping(False)
        painter.setPen(self.palette().text().color())
        for decade in range(int(np.ceil(places[0])), int(np.floor(places[-1])) + 1):
            centre = point(decade, low)
            label = QRectF(centre.x() - 30, frame.bottom() + 2, 60, 16)
            painter.drawText(label, Qt.AlignmentFlag.AlignHCenter, f"{10.0**decade:g}")


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
        self.text = wrapped_label()
        self.curve = ErrorCurve()
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.text)
        layout.addWidget(self.curve)
        self.runner = Runner(self)
        self.runner.returned.connect(self._on_choice)
        self.runner.reported.connect(self._on_progress)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(lambda: self._rest("stopped"))
        self.button.clicked.connect(self.choose)
        self.stop.clicked.connect(self.runner.cancel)
        session.closing.connect(self.runner.shut_down)
        listen(self, self.study.reference_changed, self._forget)
        listen(self, self.study.settings_changed, self._allow)
        self._forget()

    def choose(self) -> None:
        """Begin to choose."""
        study = self.study
        section, reference, graph = study.section, study.reference, study.graph
        if section is None or reference is None or graph is None:
            return
        chosen = study.deconvolution
        self._choosing = True
        self._allow()
        self.stop.setEnabled(True)
        self.text.setText("choosing …")

        def job(cancelled: Callable[[], bool], report: Callable[[str], None]) -> Choice:
            def tell(done: int, total: int) -> None:
                if cancelled():
                    raise Cancelled
                report(f"choosing … {done} of {total} fits")

            return choose(
                section.adata.X,
                section.adata.var,
                reference,
                graph.weights,
                process=chosen.process,
                scale=data_scale(chosen.scale),
                gene_weights=chosen.gene_weights,
                intercept=chosen.intercept,
                bounded=chosen.model == "nnls",
                cancelled=cancelled,
                report=tell,
            )

        self.runner.submit(job, "choosing ρ and λ")

    def _on_choice(self, choice: Choice) -> None:
        self._rest(f"λ {choice.lambda_:.3g}, ρ {choice.rho:.3g} predict held-out genes best")
        self.curve.show_choice(choice)
        if choice.on_edge:
            tell_warning(
                f"The best setting lies at the {' and '.join(choice.edges)} that was tried "
                "(choice of ρ and λ). Look at the curve, and try beyond it by hand."
            )
        self.study.deconvolution = replace(
            self.study.deconvolution,
            process=choice.process,
            rho=choice.rho,
            lambda_spatial_loss=choice.lambda_,
        )

    def _on_progress(self, text: str) -> None:
        self.text.setText(text)

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
        self.curve.show_choice(None)
        self._rest("")
