"""The tools that regions are drawn with, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.layers.region_drawing import BRUSH, NO_TOOL
from napari_smoother.weights.lattice import spacing_of
from napari_smoother.widgets.page import listen, silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.layers.region_drawing import RegionDrawing
    from napari_smoother.layers.region_effects import Effect
    from napari_smoother.section import Section

TOOLS = {
    "Polygon": ("add_polygon", "Click corner after corner; double-click to close"),
    "Lasso": ("add_polygon_lasso", "Draw around the region with the button held"),
    "Rectangle": ("add_rectangle", "Drag from corner to corner"),
    "Ellipse": ("add_ellipse", "Drag from the centre outwards"),
    "Brush": (BRUSH, "Paint with a round brush; the area joins the outlines that it touches"),
    "Select": ("select", "Move, resize or delete (Delete key) outlines and the holes in them"),
    "Corners": ("direct", "Select an outline, then move its corners"),
    "Move map": (NO_TOOL, "Put the tool away: dragging moves the picture"),
}
EFFECTS: dict[Effect, str] = {
    "add": "Adds to the region",
    "subtract": "Takes away from the region",
    "spots": "Assigns spots, no outline",
}
PER_ROW = 4
SPACINGS = 3
"""Diameter of the brush to begin with, in distances between neighbouring spots."""


class RegionTools(QWidget):
    """Buttons for the tools, what an area does that is drawn, and the size of the brush.

    Parameters
    ----------
    drawing
        That the tools belong to.
    start
        Called with a tool that is wanted.
    """

    def __init__(self, drawing: RegionDrawing, start: Callable[[str], None]) -> None:
        super().__init__()
        self._drawing = drawing
        self._start = start
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        for number, (name, (tool, tip)) in enumerate(TOOLS.items()):
            button = QPushButton(name)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, tool=tool: self._press(tool))
            grid.addWidget(button, *divmod(number, PER_ROW))
            self.buttons[name] = button
        self.effect = QComboBox()
        self.effect.setAccessibleName("What drawing does")
        self.effect.setToolTip(
            "What an area does that is drawn or painted: it adds to the selected region, takes "
            "away from it (also with Alt held), or assigns the spots within to it, without an "
            "outline (with Alt: to no region)"
        )
        for effect, text in EFFECTS.items():
            self.effect.addItem(text, effect)
        self.effect.currentIndexChanged.connect(self._change_effect)
        self.size = QDoubleSpinBox()
        self.size.setRange(0.1, 1e6)
        self.size.setDecimals(1)
        self.size.setAccessibleName("Diameter of the brush")
        self.size.setToolTip("Diameter of the brush, in µm (in pixels where the scale is unknown)")
        self.size.valueChanged.connect(drawing.resize_brush)
        label = QLabel("Brush")
        label.setBuddy(self.size)
        row = QHBoxLayout()
        row.addWidget(self.effect, 1)
        row.addWidget(label)
        row.addWidget(self.size)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addLayout(row)
        listen(self, drawing.tool_changed, self.show_tool)
        self.show_tool(drawing.tool)

    def show_section(self, section: Section | None) -> None:
        """Give the brush a size that suits the spots of a section."""
        if section is None:
            return
        scale = section.micrometres_per_pixel
        spacing = spacing_of(section.positions).distance * (scale or 1.0)
        self.size.setSuffix(" px" if scale is None else " µm")
        self.size.setSingleStep(max(0.5 * spacing, 0.1))
        self.size.setValue(SPACINGS * spacing)
        self._drawing.resize_brush(self.size.value())

    def show_tool(self, tool: str) -> None:
        """Show which tool is at hand."""
        for name, (known, _) in TOOLS.items():
            with silent(self.buttons[name]):
                self.buttons[name].setChecked(known == tool)

    def _press(self, tool: str) -> None:
        if tool == NO_TOOL:
            self._drawing.stop()
        else:
            self._start(tool)
        self.show_tool(self._drawing.tool)

    def _change_effect(self, _: int) -> None:
        self._drawing.effect = self.effect.currentData()
