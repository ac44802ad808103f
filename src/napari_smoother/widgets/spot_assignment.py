"""Assigns spots to the selected region: those selected, of a domain, or of a class of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_smoother.analyses import region_edits
from napari_smoother.analyses.region_columns import class_names, class_texts
from napari_smoother.errors import InputError
from napari_smoother.widgets.notices import tell_error
from napari_smoother.widgets.page import listen, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.widgets.session import Session

SELECTED = "Spots circled in the scatter"
DOMAINS = {"reduction": "Domains", "autoencoder": "Domains of the autoencoder"}
"""Analyses that find domains, and what these are called here."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Spots that have something in common.

    Parameters
    ----------
    names
        Of the classes they are sorted into.
    codes
        n ints into `names`, -1 for none.
    """

    names: tuple[str, ...]
    codes: NDArray[np.integer]


class SpotAssignment(QWidget):
    """One row: where the spots come from, which of them, and the button.

    Parameters
    ----------
    session
        Whose spots they are.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.source = QComboBox()
        self.source.setAccessibleName("Spots to assign")
        self.source.setToolTip("Which spots to assign: circled ones, domains, or an obs column")
        self.source.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.value = QComboBox()
        self.value.setAccessibleName("Domain or class to assign")
        self.value.setToolTip("Which domain, or which class of the column")
        self.value.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.assign = QPushButton("Assign")
        self.assign.setToolTip(
            "Assigns these spots to the selected region, whatever is drawn there"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.source, 3)
        row.addWidget(self.value, 2)
        row.addWidget(self.assign)
        self.source.currentTextChanged.connect(self._show_values)
        self.assign.clicked.connect(self._assign)
        study = session.study
        listen(self, study.section_changed, self.show_sources)
        for name in DOMAINS:
            if name in study.analyses:
                listen(self, study.analyses[name].result_changed, self.show_sources)
        self.show_sources()

    def show_sources(self, *_: object) -> None:
        """List where spots can come from."""
        section = self._session.study.section
        before = self.source.currentText()
        with silent(self.source):
            self.source.clear()
            self.source.addItem(SELECTED)
            for name, text in DOMAINS.items():
                if self._domains(name) is not None:
                    self.source.addItem(text)
            if section is not None:
                obs = section.adata.obs
                self.source.addItems([str(c) for c in obs if 1 <= obs[c].nunique() <= 200])
            self.source.setCurrentText(before)
        self._show_values()

    def _show_values(self, *_: object) -> None:
        group = self._group()
        self.value.clear()
        self.value.setVisible(group is not None)
        if group is not None:
            self.value.addItems(group.names)

    def _domains(self, name: str) -> Group | None:
        analysis = self._session.study.analyses.get(name)
        result = None if analysis is None else analysis.result
        classes = None if result is None else result.domain_classes()
        return None if classes is None else Group(classes.names, classes.codes)

    def _group(self) -> Group | None:
        """Return the classes of the source; None where it is the selection, or nothing."""
        section, source = self._session.study.section, self.source.currentText()
        place = self.source.currentIndex()
        if section is None or place <= 0:
            return None
        for name, text in DOMAINS.items():
            if source == text and (domains := self._domains(name)) is not None:
                return domains
        column = section.adata.obs[source]
        names, texts = class_names(column), class_texts(column)
        codes = texts.map({name: code for code, name in enumerate(names)}).fillna(-1)
        return Group(tuple(names), codes.to_numpy(dtype=np.int64))

    def _chosen(self) -> NDArray[np.bool_]:
        group = self._group()
        if group is not None:
            chosen: NDArray[np.bool_] = group.codes == self.value.currentIndex()
            return chosen
        circled = self._session.highlight.spots
        if circled is None:
            raise InputError(
                "No spot is circled",
                where="spots circled in the scatter",
                remedy="Draw around them on the tissue with “Assigns spots, no outline”, or "
                "circle them in the scatter of the Embedding dock",
            )
        return circled

    def _assign(self) -> None:
        study, name = self._session.study, self._session.scene.drawing.region
        try:
            if name is None:
                raise InputError(
                    "There is no region", where="assigning spots", remedy="Press New region first"
                )
            study.regions = region_edits.assigned(study.regions, name, self._chosen(), study.spots)
        except InputError as error:
            tell_error(error)
