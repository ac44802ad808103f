"""Which part of the section a figure shows, and which parts it enlarges below."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from napari_smoother.analyses.figure_settings import Part
from napari_smoother.errors import InputError
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import form, wrapped_label

if TYPE_CHECKING:
    from napari_smoother.analyses.figure_settings import FigureSettings
    from napari_smoother.widgets.session import Session

MOST_INSETS = 3


class PartRows(QWidget):
    """Two rows: what is drawn, and the insets.

    Parameters
    ----------
    session
        Whose view and regions they offer.

    Attributes
    ----------
    changed
        Emitted with the fields of the figure that the hand changed.
    """

    changed = Signal(object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._settings: FigureSettings = session.study.recipe.figure
        self.crop = QPushButton()
        self.crop.setAccessibleName("Crop")
        self.crop.setToolTip("The part of the section that every panel shows")
        self.crop_menu = QMenu(self.crop)
        self.crop_menu.aboutToShow.connect(self._list_crops)
        self.crop.setMenu(self.crop_menu)
        self.inset = QPushButton("Add inset")
        self.inset.setToolTip("Draws a part again below every panel, enlarged, in a frame")
        self.inset_menu = QMenu(self.inset)
        self.inset_menu.aboutToShow.connect(self._list_insets)
        self.inset.setMenu(self.inset_menu)
        self.without = QPushButton("Remove")
        self.without.setAccessibleName("Remove the last inset")
        self.without.setToolTip("Takes the last inset away")
        self.without.clicked.connect(lambda: self._set_insets(self._settings.insets[:-1]))
        self.insets = wrapped_label()
        rows = form()
        rows.addRow("Crop", self.crop)
        line = QHBoxLayout()
        line.addWidget(self.inset)
        line.addWidget(self.without)
        rows.addRow("Insets", line)
        rows.addRow(self.insets)
        self.setLayout(rows)
        self.show_figure(self._settings)

    def show_figure(self, settings: FigureSettings) -> None:
        """Show the parts of a figure."""
        self._settings = settings
        self.crop.setText("Whole section" if settings.crop is None else self._name(settings.crop))
        self.insets.setVisible(bool(settings.insets))
        self.insets.setText(" · ".join(map(self._name, settings.insets)))
        self.without.setEnabled(bool(settings.insets))
        self.inset.setEnabled(len(settings.insets) < MOST_INSETS)

    def take_view(self) -> Part | None:
        """Return what the canvas shows; None, and told, where it shows no spots."""
        box = self.session.scene.view_extent if self.session.study.section else None
        if box is None:
            tell_error(
                InputError(
                    "The canvas shows no spots", where="figure", remedy="Move it to the tissue"
                )
            )
            return None
        return Part(box=box)

    def crop_to_view(self) -> None:
        """Draw what the canvas shows."""
        part = self.take_view()
        if part is not None:
            self.changed.emit({"crop": part})

    def add_inset_of_view(self) -> None:
        """Enlarge what the canvas shows."""
        part = self.take_view()
        if part is not None:
            self._set_insets((*self._settings.insets, part))

    def _set_insets(self, insets: tuple[Part, ...]) -> None:
        self.changed.emit({"insets": insets})

    def _list_crops(self) -> None:
        menu = self.crop_menu
        menu.clear()
        menu.addAction("Whole section", lambda: self.changed.emit({"crop": None}))
        menu.addAction("Present view of the canvas", self.crop_to_view)
        self._list_regions(menu, lambda part: self.changed.emit({"crop": part}))

    def _list_insets(self) -> None:
        menu = self.inset_menu
        menu.clear()
        menu.addAction("Present view of the canvas", self.add_inset_of_view)
        self._list_regions(menu, lambda part: self._set_insets((*self._settings.insets, part)))

    def _list_regions(self, menu: QMenu, use: Any) -> None:
        for region in self.session.study.regions.classes:
            name = region.name.replace("&", "&&")
            menu.addAction(f"Region {name}", partial(use, Part(region.name)))

    def _name(self, part: Part) -> str:
        """Return a part in words: the region, or the size of the rectangle."""
        if part.region:
            return f"region {part.region}"
        assert part.box is not None
        left, top, right, bottom = part.box
        section = self.session.study.section
        scale = None if section is None else section.micrometres_per_pixel
        unit = "px" if scale is None else "µm"
        width, height = ((b - a) * (scale or 1) for a, b in ((left, right), (top, bottom)))
        return f"{width:,.0f} × {height:,.0f} {unit}"
