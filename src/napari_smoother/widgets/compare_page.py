"""The Compare page: cell types and genes of regions and domains beside each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses import comparison as comparing
from napari_smoother.analyses import gene_ranking
from napari_smoother.analyses.observed_spots import class_columns
from napari_smoother.analyses.shown import ComparisonPart, View
from napari_smoother.analyses.spot_groups import compared_groups
from napari_smoother.errors import InputError
from napari_smoother.layers.scene import DATA, REGIONS
from napari_smoother.study.between_groups import DOMAINS
from napari_smoother.study.comparison import Comparison
from napari_smoother.study.ranked_genes import RankedGenes
from napari_smoother.widgets.compared_genes import ComparedGenes
from napari_smoother.widgets.compared_types import ComparedTypes
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, silent

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_smoother.analyses.comparison_settings import ComparisonSettings, GroupsFrom
    from napari_smoother.section import Section
    from napari_smoother.widgets.preview import Preview
    from napari_smoother.widgets.session import Session

SOURCES: dict[GroupsFrom, str] = {
    "regions": "Regions drawn or imported",
    "reduction": "Domains of the spatial PCA",
    "autoencoder": "Domains of the spatial VAE",
}
EACH, OTHERS = "each", "all others"
PARTS: tuple[tuple[ComparisonPart, str], ...] = (("types", "Cell types"), ("genes", "Genes"))


def comparison_of(session: Session) -> tuple[Preview, Preview]:
    """Return what keeps the comparison and the ranking of genes of a session up to date."""
    for name, kind in ((comparing.KEY, Comparison), (gene_ranking.KEY, RankedGenes)):
        if name not in session.analyses:
            session.keep_up_to_date(kind(session.study))
    return session.analyses[comparing.KEY], session.analyses[gene_ranking.KEY]


class ComparePage(Page):
    """Chooses groups of spots, and shows how they differ in cell types and genes."""

    title = "Compare"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        preview, ranking = comparison_of(session)
        self.comparison, self.ranking = (
            cast("Comparison", preview.analysis),
            cast("RankedGenes", ranking.analysis),
        )
        self._listed: Section | None = None
        self.groups, self.group, self.reference = QComboBox(), QComboBox(), QComboBox()
        self.unassigned = QCheckBox("Spots in none of them count as one more")
        for box, name, tip in (
            (
                self.groups,
                "What is compared",
                "Regions, the domains of the Reduce page, or the classes of an obs column",
            ),
            (self.group, "Region to compare", "One of them, or each"),
            (self.reference, "Reference", "What it is compared to"),
        ):
            box.setToolTip(tip)
            box.setAccessibleName(name)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(6)
        self.unassigned.setToolTip(
            "Compares with the spots outside of all regions too: tick it to compare one drawn "
            "region with everything around it"
        )
        pair = QHBoxLayout()
        pair.addWidget(self.group, 1)
        pair.addWidget(QLabel("with"))
        pair.addWidget(self.reference, 1)
        rows = form()
        rows.addRow("Groups", self.groups)
        rows.addRow("Compare", pair)
        rows.addRow("", self.unassigned)
        self.types = ComparedTypes(session, self.comparison)
        self.genes = ComparedGenes(session, ranking)
        self.parts = QTabWidget()
        for (_, title), part in zip(PARTS, (self.types, self.genes), strict=True):
            self.parts.addTab(part, title)
        layout = QVBoxLayout(self)
        layout.addLayout(rows)
        layout.addWidget(self.parts, 1)

        self.groups.activated.connect(self._choose_groups)
        self.group.activated.connect(self._choose_pair)
        self.reference.activated.connect(self._choose_pair)
        self.unassigned.toggled.connect(lambda counted: self._change(unassigned=counted))
        self.parts.currentChanged.connect(self._turn_to)
        for of_form in (self.types.form, self.genes.form):
            of_form.valueChanged.connect(lambda field, value: self._change(**{field: value}))
        listen(self, self.study.section_changed, self._show_section)
        follow_recipe(self, self.study, self._show_recipe)
        listen(self, self.study.composition_changed, self._show_groups)
        for name, _ in DOMAINS.values():
            if name in self.study.analyses:
                listen(self, self.study.analyses[name].result_changed, self._show_groups)
        self._show_section(self.study.section)
        self._note_seen(False)

    def enter(self) -> None:
        """Keep the comparison up to date from now on; the map stays what it is."""
        if self.study.section is not None:
            self.comparison.active = True
            self.ranking.active = True
            self._show_groups()

    def showEvent(self, event: QShowEvent) -> None:
        """List the columns once they can be seen."""
        super().showEvent(event)
        self._note_seen(True)
        self._list_columns()
        self._show_recipe()

    def hideEvent(self, event: QHideEvent) -> None:
        """Look at no spots for what cannot be seen."""
        super().hideEvent(event)
        self._note_seen(False)

    def _note_seen(self, seen: bool) -> None:
        self.types.is_seen = self.genes.is_seen = seen

    @property
    def settings(self) -> ComparisonSettings:
        """How groups are compared."""
        return self.comparison.settings

    # The study tells

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        if self.isVisible():
            self._list_columns()
            self.enter()
        self._show_recipe()

    def _list_columns(self) -> None:
        section = self.study.section
        if section is self._listed:
            return
        self._listed = section
        columns = {} if section is None else class_columns(section)
        with silent(self.groups):
            self.groups.clear()
            for source, title in SOURCES.items():
                self.groups.addItem(title, (source, ""))
            for column, names in columns.items():
                if len(names) > 1:
                    self.groups.addItem(f"Column {column}", ("column", column))
        self._show_recipe()

    def _show_recipe(self, *recipe: Any) -> None:
        settings = self.settings
        wanted = (settings.groups, settings.column if settings.groups == "column" else "")
        items = [self.groups.itemData(place) for place in range(self.groups.count())]
        part = [what for what, _ in PARTS].index(self.scene.shown.comparison.what)
        with silent(self.groups, self.unassigned, self.parts):
            if items and wanted not in items:
                self.groups.addItem(f"Column {settings.column} (not there)", wanted)
                items.append(wanted)
            self.groups.setCurrentIndex(items.index(wanted) if items else -1)
            self.unassigned.setChecked(settings.unassigned)
            self.parts.setCurrentIndex(part)
        self._show_groups()

    def _show_groups(self, *news: Any) -> None:
        """List the groups there are, and say what is missing, while it can be seen."""
        if not self.types.is_seen:
            return
        names = self._names()
        pairs = self.settings.pairs
        with silent(self.group, self.reference):
            for box, first in ((self.group, EACH), (self.reference, OTHERS)):
                if [box.itemText(place) for place in range(box.count())] != [first, *names]:
                    box.clear()
                    box.addItem(first, "")
                    for name in names:
                        box.addItem(name, name)
            if len(pairs) > 1:
                self.group.addItem(f"{len(pairs)} pairs of the recipe", None)
                self.group.setCurrentIndex(self.group.count() - 1)
                self.reference.setCurrentIndex(-1)
            else:
                group, reference = pairs[0] if pairs else ("", "")
                self.group.setCurrentIndex(self.group.findData(group))
                self.reference.setCurrentIndex(self.reference.findData(reference))
        self.reference.setEnabled(bool(self.group.currentData()))
        self.types.show_obstacle()
        self.genes.show_state()

    def _names(self) -> tuple[str, ...]:
        try:
            groups = self.comparison.groups
        except InputError:
            return ()
        everything = np.ones(len(groups.codes), dtype=bool)
        return compared_groups(groups, self.settings, everything).names

    # The hand changes

    def _change(self, **changes: Any) -> None:
        recipe = self.study.recipe
        self.study.recipe = replace(recipe, comparison=replace(recipe.comparison, **changes))

    def _choose_groups(self, place: int) -> None:
        """Compare other groups, and show them on the tissue, in one step."""
        groups, column = self.groups.itemData(place)
        recipe, shown = self.study.recipe, self.scene.shown
        chosen = replace(recipe.comparison, groups=groups, column=column, pairs=())
        if groups == "regions":
            shown = replace(shown, stage=REGIONS)
        elif groups == "column":
            shown = replace(shown, stage=DATA, view=View("obs", column))
        else:
            name, _ = DOMAINS[groups]
            result = self.study.analyses[name].result
            if result is not None and result.domains is not None:
                picture = replace(getattr(shown, groups), what="domains")
                shown = replace(shown, stage=name, **{groups: picture})
        self.study.recipe = replace(recipe, comparison=chosen, shown=shown)

    def _choose_pair(self) -> None:
        group, reference = self.group.currentData(), self.reference.currentData()
        if group is None:
            return  # several pairs, of a recipe
        if not group or group == reference:
            reference = ""
        self._change(pairs=((group, reference or ""),) if group else ())

    def _turn_to(self, place: int) -> None:
        shown = replace(self.scene.shown.comparison, what=PARTS[place][0])
        self.study.show_without_step(comparison=shown)
