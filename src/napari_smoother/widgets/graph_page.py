"""The Graph page: which spots are neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.layers.edges import CUT_COLOUR, weight_key
from napari_smoother.widgets.key_panel import KeyPanel
from napari_smoother.widgets.page import Page, form, listen, silent, wrapped_label
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import ExactField
from napari_smoother.widgets.type_table import colour_icon

if TYPE_CHECKING:
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

FIELDS: dict[str, dict[str, Any]] = {
    "rule": {
        "choices": {
            "nearest": "k nearest neighbours",
            "radius": "Radius",
            "delaunay": "Delaunay triangulation",
        },
        "tooltip": "How neighbours are found: the k nearest spots, every spot within a radius, or "
        "those that share an edge of the Delaunay triangulation",
    },
    "neighbours": {
        "range": (1, 50),
        "tooltip": "Neighbours of each spot under the nearest rule; 6 on a Visium slide",
    },
    "mutual": {"text": "Mutual only"},
    "radius": {
        "editor": lambda: ExactField(0.01),
        "tooltip": "Connect every two spots that are at most this far apart. Automatic: one and a "
        "half times the median distance to the nearest spot; of a triangulation any length",
    },
    "by_expression": {"text": "By expression"},
    "expression_components": {"range": (1, 100)},
    "by_histology": {"text": "By histology"},
}


class GraphPage(Page):
    """Connects neighbours and shows the edges over the tissue."""

    title = "Graph"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._is_unseen = True
        self.edges = QCheckBox("Show edges over the tissue")
        self.edges.setToolTip("Edges coloured by weight; edges cut between regions in red")

        self.form = SettingsForm(self.study.graph_settings, FIELDS)
        self.rule, self.neighbours, self.mutual = (
            self.form[name] for name in ("rule", "neighbours", "mutual")
        )
        self.radius = self.form["radius"].number
        self.expression, self.components, self.histology = (
            self.form[name] for name in ("by_expression", "expression_components", "by_histology")
        )
        self.radius_unit = QLabel("Radius, µm")
        rule = QGroupBox("Neighbours")
        rows = form()
        rows.addRow("Rule", self.rule)
        rows.addRow("k", self.neighbours)
        rows.addRow(self.mutual)
        rows.addRow(self.radius_unit, self.form["radius"])
        rule.setLayout(rows)

        scaling = QGroupBox("Scale edges")
        rows = form()
        rows.addRow(self.expression)
        rows.addRow("Components", self.components)
        rows.addRow(self.histology)
        scaling.setLayout(rows)

        self.counts = {
            name: QLabel("–")
            for name in (
                "Edges",
                "Cut (weight 0)",
                "Mean degree",
                "Components",
                "Isolated spots",
            )
        }
        tips = {
            "Edges": "Pairs of connected spots",
            "Cut (weight 0)": "Neighbours kept apart: in two regions, or unlike each other",
            "Mean degree": "Neighbours a spot has on average",
            "Components": "Pieces of tissue with no edge between them; isolated spots count",
            "Isolated spots": "Spots without any neighbour: nothing smooths them",
        }
        summary = QGroupBox("Graph")
        rows = form()
        for name, label in self.counts.items():
            label.setToolTip(tips[name])
            rows.addRow(name, label)
        summary.setLayout(rows)

        self.key = KeyPanel()
        crossing = QHBoxLayout()
        swatch = QLabel()
        swatch.setPixmap(colour_icon(QColor.fromRgbF(*CUT_COLOUR)).pixmap(12, 12))
        crossing.addWidget(swatch)
        crossing.addWidget(wrapped_label("between regions: as red as it is cut"), 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self.edges)
        layout.addWidget(self.key)
        layout.addLayout(crossing)
        layout.addWidget(rule)
        layout.addWidget(scaling)
        layout.addWidget(summary)
        layout.addStretch()

        self.edges.toggled.connect(lambda wanted: self.scene.change(edges=wanted))
        self.form.valueChanged.connect(self._change)
        listen(self, self.study.section_changed, self._show_section)
        listen(self, self.study.recipe_changed, self._show_settings)
        listen(self, self.study.graph_changed, self._show_graph)
        self._show_section(self.study.section)
        if self.study.graph is not None:
            self._show_graph(self.study.graph)

    def enter(self) -> None:
        """Show the edges of a section on first sight of the page."""
        if self._is_unseen and self.study.section is not None:
            self._is_unseen = False
            self.study.show_without_step(edges=True)

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        self._is_unseen = True
        known = section is not None and section.micrometres_per_pixel is not None
        self.radius_unit.setText("Radius, µm" if known else "Radius, pixels")
        for label in self.counts.values():
            label.setText("–")
        self._show_settings(self.study.recipe)

    def _show_settings(self, recipe: Recipe) -> None:
        graph = recipe.graph
        with silent(self.edges):
            self.edges.setChecked(recipe.shown.edges)
        self.form.setValue(graph)
        nearest = graph.rule == "nearest"
        self.neighbours.setEnabled(nearest)
        self.mutual.setEnabled(nearest)
        self.form["radius"].setEnabled(not nearest)
        self.components.setEnabled(graph.by_expression)
        section = self.study.section
        self.histology.setEnabled(section is not None and bool(section.images))

    def _change(self, field: str, value: Any) -> None:
        changed = {field: value}
        self.study.graph_settings = replace(self.study.graph_settings, **changed)

    def _show_graph(self, graph: Graph | None) -> None:
        if graph is None:
            return
        self.key.show_key(weight_key(graph))
        # Known without work now: the graph was built with the spacing it may need.
        analysed = self.study.analysed_graph or graph
        pixel = analysed.section.micrometres_per_pixel or 1.0
        radius = self.study.graph_steps.radius(analysed.section, self.study.graph_settings.radius)
        self.form["radius"].suggest(radius * pixel)
        summary = graph.summary
        self.counts["Edges"].setText(f"{summary.n_edges:,}")
        self.counts["Cut (weight 0)"].setText(f"{summary.n_cut:,}")
        self.counts["Mean degree"].setText(f"{summary.mean_degree:.2f}")
        self.counts["Components"].setText(f"{summary.n_components:,}")
        self.counts["Isolated spots"].setText(f"{summary.n_isolated:,}")
