"""Training by hand: its settings, the button, progress, and the curve of the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import (
    QGroupBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.widgets.page import form, listen, wrapped_label
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import ExactField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.analyses.context import Progress
    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.widgets.preview import Preview

CURVE = "#8ab4f8"
FIELDS: dict[str, dict[str, Any]] = {
    "likelihood": {
        "choices": {
            "nb": "Negative binomial",
            "zinb": "Zero-inflated negative binomial",
            "poisson": "Poisson",
            "normal": "Normal (log expression)",
        },
        "tooltip": "Distribution of the counts of a gene in a spot",
    },
    "epochs": {"range": (1, 10_000)},
    "learning_rate": {"editor": lambda: ExactField(1e-6, 1.0)},
}


class LossCurve(QWidget):
    """The loss of every epoch, with its first and last value."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: tuple[float, ...] = ()
        self.setFixedHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Loss of every epoch: mean over spots, lower is better")

    def show_losses(self, losses: Sequence[float]) -> None:
        """Draw a curve; nothing for fewer than two epochs."""
        self.losses = tuple(losses)
        self.setVisible(len(self.losses) > 1)
        self.update()

    def add(self, loss: float) -> None:
        """Draw one more epoch."""
        self.show_losses((*self.losses, loss))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the curve between its extremes, which stand at the left."""
        values = np.asarray(self.losses)
        if len(values) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(64, 6, -8, -18)
        low, high = float(values.min()), float(values.max())
        across = frame.left() + np.linspace(0, frame.width(), len(values))
        up = frame.bottom() - (values - low) / max(high - low, 1e-300) * frame.height()
        painter.setPen(QPen(QColor(CURVE), 1.5))
        painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in zip(across, up, strict=True)]))
        painter.setPen(self.palette().text().color())
        beside = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value, height in ((high, frame.top()), (low, frame.bottom())):
            painter.drawText(QRectF(0, height - 8, 58, 16), beside, f"{value:.4g}")
        below = QRectF(frame.left(), frame.bottom() + 2, frame.width(), 16)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "epoch 1")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{len(values)}")


class TrainingPanel(QGroupBox):
    """Trains an autoencoder in a thread worker, and stops it within an epoch.

    Parameters
    ----------
    preview
        Of the autoencoder.
    """

    def __init__(self, preview: Preview, parent: QWidget | None = None) -> None:
        super().__init__("Training", parent)
        self.preview = preview
        assert isinstance(preview.analysis, Autoencoder)
        self.analysis = preview.analysis
        self.message = wrapped_label()
        self.form = SettingsForm(self.analysis.settings, FIELDS)
        self.likelihood, self.epochs, self.rate = (self.form[name] for name in FIELDS)
        self.rate.setSingleStep(0.001)
        self.train = QPushButton("Train")
        self.stop = QPushButton("Cancel")
        self.stop.setToolTip("Stops within an epoch; what was trained before stays")
        self.bar = QProgressBar()
        self.bar.setFormat("epoch %v of %m")
        self.curve = LossCurve()
        buttons = QHBoxLayout()
        buttons.addWidget(self.train, 1)
        buttons.addWidget(self.stop)
        rows = form()
        rows.addRow("Likelihood", self.likelihood)
        rows.addRow("Epochs", self.epochs)
        rows.addRow("Learning rate", self.rate)
        layout = QVBoxLayout(self)
        for part in (self.message, rows, buttons, self.bar, self.curve):
            if isinstance(part, QWidget):
                layout.addWidget(part)
            else:
                layout.addLayout(part)

        self.form.valueChanged.connect(self._change)
        self.train.clicked.connect(self._train)
        self.stop.clicked.connect(preview.cancel)
        preview.progressed.connect(self._show_progress)
        preview.busy_changed.connect(self._show_busy)
        listen(self, self.analysis.settings_changed, self.form.setValue)
        listen(self, self.analysis.result_changed, self._show_result)
        listen(self, self.analysis.study.section_changed, lambda: self._show_busy(preview.is_busy))
        self._show_result(self.analysis.result)
        self.missing_changed()

    def missing_changed(self) -> None:
        """Let the panel be used, or say what has to be installed first."""
        missing = self.analysis.missing
        self.message.setText(missing)
        self.message.setVisible(bool(missing))
        self.train.setToolTip(missing or "Trains with these settings while the window goes on")
        for widget in (self.likelihood, self.epochs, self.rate):
            widget.setEnabled(not missing)
        self._show_busy(self.preview.is_busy)

    def _train(self) -> None:
        self.analysis.active = True
        self.preview.solve()

    def _change(self, field: str, value: Any) -> None:
        changed = {field: value}
        self.analysis.settings = replace(self.analysis.settings, **changed)

    def _show_busy(self, busy: bool) -> None:
        ready = self.analysis.study.section is not None and not self.analysis.missing
        self.train.setEnabled(ready and not busy)
        self.stop.setEnabled(busy)
        self.bar.setVisible(busy)
        if not busy:
            # Of a training that was cancelled nothing is left.
            self._show_result(self.analysis.result)

    def _show_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)  # 0 to 0 for work of unknown length
        self.bar.setValue(progress.done)
        if progress.total and progress.done == 0:
            self.curve.show_losses(())
        elif progress.total:
            self.curve.add(progress.value)

    def _show_result(self, result: Embedding | None) -> None:
        if not self.preview.is_busy:
            self.curve.show_losses(result.losses if result is not None else ())
