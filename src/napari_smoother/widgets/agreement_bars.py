"""How well numbers of domains are found again, drawn as bars to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QMouseEvent, QPaintEvent

BAR, IN_USE = "#5a9bd8", "#e0a84a"
TIP = (
    "Agreement of domains found in either half of the spots (adjusted Rand index): 1 where each "
    "half finds the same. Click a bar to take its number"
)


class AgreementBars(QWidget):
    """Agreement between halves of the spots over the number of domains.

    Attributes
    ----------
    number_clicked
        Emitted with the number of domains whose bar was clicked.
    """

    number_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._agreement: dict[int, float] = {}
        self._in_use = 0
        self.setFixedHeight(72)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(TIP)
        self.setAccessibleName("Agreement over the number of domains")

    def show_agreement(
        self, numbers: Sequence[int], agreement: Sequence[float], in_use: int
    ) -> None:
        """Draw a bar for each number, that of the domains on the map in a colour of its own."""
        self._agreement = dict(zip(numbers, agreement, strict=True))
        self._in_use = in_use
        self.update()

    def place_of(self, number: int) -> QRectF:
        """Where the whole column of a number lies."""
        frame = self._frame()
        width = frame.width() / max(len(self._agreement), 1)
        left = frame.left() + list(self._agreement).index(number) * width
        return QRectF(left, frame.top(), width, frame.height())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the agreement of the number under the mouse."""
        number = self._under(event)
        if number is not None:
            told = f"{number} domains: agreement {self._agreement[number]:.2f}"
            QToolTip.showText(event.globalPosition().toPoint(), told, self)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the number under the mouse."""
        number = self._under(event)
        if number is not None and event.button() == Qt.MouseButton.LeftButton:
            self.number_clicked.emit(number)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars, and their numbers under them."""
        painter = QPainter(self)
        text = self.palette().text().color()
        for number, agreement in self._agreement.items():
            column = self.place_of(number)
            height = column.height() * min(max(agreement, 0.0), 1.0)
            bar = QRectF(column.left(), column.bottom() - height, column.width(), height)
            colour = QColor(IN_USE if number == self._in_use else BAR)
            painter.fillRect(bar.adjusted(2, 0, -2, 0), colour)
            painter.setPen(text)
            label = QRectF(column.left(), column.bottom() + 1, column.width(), 16)
            painter.drawText(label, Qt.AlignmentFlag.AlignHCenter, str(number))

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(2, 2, -2, -18)

    def _under(self, event: QMouseEvent) -> int | None:
        x = event.position().x()
        for number in self._agreement:
            column = self.place_of(number)
            if column.left() <= x < column.right():
                return number
        return None
