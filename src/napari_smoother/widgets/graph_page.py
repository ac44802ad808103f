"""The Graph page: which spots are neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_smoother.analyses.graph_similarity import comparable_tables
from napari_smoother.weights.summary import HALVED, NEARLY_CUT
from napari_smoother.widgets.page import Page, follow_recipe, form, listen, reserved_label, silent
from napari_smoother.widgets.reach_panel import ReachPanel
from napari_smoother.widgets.settings_form import SettingsForm
from napari_smoother.widgets.sliders import ExactField
from napari_smoother.widgets.weight_histogram import WeightHistogram

if TYPE_CHECKING:
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.graph_neighbours import NeighboursOfSpot
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

LOG_EXPRESSION = "Log expression, principal components"
METRICS = {"cosine": "Cosine", "euclidean": "Gaussian of the distance"}
POINT = "Point at a spot to see its neighbours and the weights of their links"

SCALING = {
    "by_expression": "",
    "expression_table": "Compared in",
    "expression_components": "Components",
    "expression_metric": "Similarity",
    "expression_width": "Width of the Gaussian",
    "by_histology": "",
    "histology_features": "Compared",
    "histology_components": "Components of pixels",
    "histology_window": "Window",
    "histology_metric": "Similarity of pixels",
    "histology_width": "Width of its Gaussian",
}
"""Labels of the settings of similarity, in their order; ticks have their own text."""

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
        "tooltip": "Connect every two spots that are at most this far apart. Automatic: a radius "
        "that gives a spot about six neighbours (the larger of one and a half times the median "
        "distance to the nearest spot and the median distance to the sixth nearest); of a "
        "triangulation any length",
    },
    "by_expression": {"text": "By expression"},
    "expression_table": {"choices": {"": LOG_EXPRESSION}},
    "expression_components": {"range": (1, 100)},
    "expression_metric": {"choices": METRICS},
    "expression_width": {"editor": lambda: ExactField(1e-6)},
    "by_histology": {"text": "By histology"},
    "histology_features": {
        "choices": {
            "mean": "Mean colour of a window",
            "components": "Principal components of its pixels",
            "pixels": "Every pixel of it",
        }
    },
    "histology_components": {"range": (1, 100)},
    "histology_window": {"editor": lambda: ExactField(0.01), "text": "spot"},
    "histology_metric": {"choices": METRICS},
    "histology_width": {"editor": lambda: ExactField(1e-6)},
}
"""What the form shows, and how."""

FIGURES = {
    "Edges": "Pairs of connected spots",
    "Cut (weight 0)": "Neighbours kept apart: in two regions, or unlike each other",
    f"Below {NEARLY_CUT:g}": "Edges that are not cut, but keep less than this share of their full "
    "weight: nearly cut",
    f"Below {HALVED:g}": "Edges that are not cut, but keep less than this share of their full "
    "weight; nearly cut ones among them",
    "Mean degree": "Neighbours a spot has on average",
    "Components": "Pieces of tissue with no edge between them; isolated spots count",
    "Isolated spots": "Spots without any neighbour: nothing smooths them",
}
"""Of the graph, by the label of each."""

MANY_ALONE = 0.05
"""Share of spots without a neighbour above which something has to be done about it."""


class GraphPage(Page):
    """Connects neighbours and shows the edges over the tissue."""

    title = "Graph"
    shows_edges = "all"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.edges = QCheckBox("Show edges over the tissue")
        self.edges.setToolTip(
            "Edges over the map while this page or that of regions is in front: amber where they "
            "are weakened, blue where they are whole, red in white where they are cut"
        )
        self.everywhere = QCheckBox("on every page")
        self.everywhere.setToolTip("Keep the edges over the maps of all pages")
        ticks = QHBoxLayout()
        ticks.addWidget(self.edges)
        ticks.addWidget(self.everywhere)
        ticks.addStretch()
        self.weights = WeightHistogram()
        self.remark = reserved_label(2)
        self.pointed = reserved_label(2)
        self.pointed.setText(POINT)
        self.pointed.setToolTip("The spot under the pointer, and the weight of each of its links")

        self.form = SettingsForm(self.study.graph_settings, FIELDS)
        self.rule, self.neighbours, self.mutual = (
            self.form[name] for name in ("rule", "neighbours", "mutual")
        )
        self.radius = self.form["radius"].number
        self.expression, self.components, self.histology = (
            self.form[name] for name in ("by_expression", "expression_components", "by_histology")
        )
        self.radius_unit, self.window_unit = QLabel(), QLabel()
        rule = QGroupBox("Neighbours")
        self._linking = form()
        self._linking.addRow("Rule", self.rule)
        self._linking.addRow("k", self.neighbours)
        self._linking.addRow(self.mutual)
        self._linking.addRow(self.radius_unit, self.form["radius"])
        rule.setLayout(self._linking)

        scaling = QGroupBox("Scale edges")
        self._scaling = form()
        for name, label in SCALING.items():
            if not label:
                self._scaling.addRow(self.form[name])
            elif name == "histology_window":
                self._scaling.addRow(self.window_unit, self.form[name])
            else:
                self._scaling.addRow(label, self.form[name])
        scaling.setLayout(self._scaling)
        for name in FIELDS:
            self.form[name].setAccessibleName(SCALING.get(name) or name.replace("_", " "))
            if isinstance(self.form[name], QComboBox):  # as wide as the dock, not as its texts
                self.form[name].setSizeAdjustPolicy(
                    QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
                )

        self.counts = {name: QLabel("–") for name in FIGURES}
        summary = QGroupBox("Graph")
        grid = QGridLayout()
        for place, (name, label) in enumerate(self.counts.items()):
            row, column = divmod(place, 2)
            said = QLabel(name)
            for part in (said, label):
                part.setToolTip(FIGURES[name])
            grid.addWidget(said, row, 2 * column)
            grid.addWidget(label, row, 2 * column + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        inside = QVBoxLayout(summary)
        inside.addWidget(self.weights)
        inside.addLayout(grid)
        inside.addWidget(self.remark)

        self.reach = ReachPanel(session)
        reach = QGroupBox("Reach of the prior")
        QVBoxLayout(reach).addWidget(self.reach)

        layout = QVBoxLayout(self)
        layout.addLayout(ticks)
        layout.addWidget(self.pointed)
        layout.addWidget(rule)
        layout.addWidget(scaling)
        layout.addWidget(summary)
        layout.addWidget(reach)
        layout.addStretch()

        self.edges.toggled.connect(lambda wanted: self.scene.change(edges_with_graph=wanted))
        self.everywhere.toggled.connect(lambda wanted: self.scene.change(edges=wanted))
        self.form.valueChanged.connect(self._change)
        listen(self, self.study.section_changed, self._show_section)
        follow_recipe(self, self.study, self._show_settings)
        listen(self, self.study.graph_changed, self._show_graph)
        listen(self, self.scene.graph.remarked, self._show_remark)
        listen(self, self.scene.graph.highlight.pointed, self._show_neighbours)
        self._show_section(self.study.section)
        self._show_graph(self.study.graph)

    def enter(self) -> None:
        """Follow the pointer."""
        self.scene.graph.highlight.is_active = True
        self.reach.active = True

    def leave(self) -> None:
        """Leave the pointer alone."""
        self.reach.active = False
        self.scene.graph.highlight.is_active = False

    def _show_section(self, section: Section | None) -> None:
        self.setEnabled(section is not None)
        known = section is not None and section.micrometres_per_pixel is not None
        unit = "µm" if known else "pixels"
        self.radius_unit.setText(f"Radius, {unit}")
        self.window_unit.setText(f"Window, {unit}")
        tables = () if section is None else comparable_tables(section)
        self.form.offer("expression_table", {"": LOG_EXPRESSION} | {key: key for key in tables})
        self._show_graph(None)
        self._show_settings(self.study.recipe)

    def _show_settings(self, recipe: Recipe) -> None:
        graph = recipe.graph
        with silent(self.edges, self.everywhere):
            self.edges.setChecked(recipe.shown.edges_with_graph)
            self.everywhere.setChecked(recipe.shown.edges)
        self.form.setValue(graph)
        nearest = graph.rule == "nearest"
        for name in ("neighbours", "mutual", "radius"):
            self._linking.setRowVisible(self.form[name], nearest == (name != "radius"))
        section = self.study.section
        self.histology.setEnabled(section is not None and bool(section.images))
        shown = {
            "expression_table": graph.by_expression,
            "expression_components": graph.by_expression and not graph.expression_table,
            "expression_metric": graph.by_expression,
            "expression_width": graph.by_expression and graph.expression_metric == "euclidean",
            "histology_features": graph.by_histology,
            "histology_components": graph.by_histology
            and graph.histology_features == "components",
            "histology_window": graph.by_histology,
            "histology_metric": graph.by_histology,
            "histology_width": graph.by_histology and graph.histology_metric == "euclidean",
        }
        for name, visible in shown.items():
            self._scaling.setRowVisible(self.form[name], visible)

    def _change(self, field: str, value: Any) -> None:
        changed = {field: value}
        self.study.graph_settings = replace(self.study.graph_settings, **changed)

    def _show_graph(self, graph: Graph | None) -> None:
        if graph is None:
            for label in self.counts.values():
                label.setText("–")
            self.weights.show_weights(None)
            self._show_remark()
            return
        pixel = graph.section.micrometres_per_pixel or 1.0
        self.form["radius"].suggest(graph.radius * pixel)
        self.form["histology_window"].suggest(graph.window * pixel)
        summary, weakening = graph.summary, graph.weakening
        self.weights.show_weights(weakening)
        for label, figure in zip(
            self.counts.values(),
            (
                f"{summary.n_edges:,}",
                f"{summary.n_cut:,}",
                f"{weakening.n_nearly_cut:,}",
                f"{weakening.n_halved:,}",
                f"{summary.mean_degree:.2f}",
                f"{summary.n_components:,}",
                f"{summary.n_isolated:,}",
            ),
            strict=True,
        ):
            label.setText(figure)
        self._show_remark()

    def _show_remark(self) -> None:
        """Say what is wrong with the graph, or else with what is drawn of it."""
        graph = self.study.graph
        alone = 0.0 if graph is None else graph.summary.n_isolated / graph.section.n_spots
        if alone > MANY_ALONE:
            self.remark.setText(
                f"⚠ {alone:.0%} of the spots have no neighbour, so nothing smooths them: take "
                "more neighbours or a larger radius, or cut less"
            )
        elif graph is not None and graph.weakening.most_is_lost:
            self.remark.setText(
                "⚠ Most edges are cut or nearly so: widen the Gaussian, or compare spots otherwise"
            )
        else:
            self.remark.setText(self.scene.graph.remark)

    def _show_neighbours(self, found: NeighboursOfSpot | None) -> None:
        section = self.study.section
        if found is None or section is None:
            self.pointed.setText(POINT)
        else:
            self.pointed.setText(f"{section.adata.obs_names[found.spot]}: {found.describe()}")
