"""Edges scaled by expression and by histology, on top of each other and of regions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_smoother.errors import InputError
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.section import Section
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from napari_smoother.analyses.graph import Graph


@pytest.fixture(scope="module")
def section() -> Section:
    return simulate_cortex(rows=30, n_genes=300, seed=2, image_size=400).section


def graph_of(section: Section, **settings: object) -> Graph:
    study = Study()
    study.open(section)
    study.graph_settings = replace(study.graph_settings, **settings)
    study.update()
    assert study.graph is not None
    return study.graph


def across_and_within(section: Section, graph: Graph) -> tuple[float, float]:
    regions = section.adata.obs["region"].astype(str).to_numpy()
    differs = regions[graph.edges[:, 0]] != regions[graph.edges[:, 1]]
    return float(graph.edge_weights[differs].mean()), float(graph.edge_weights[~differs].mean())


@pytest.mark.parametrize("what", ["by_expression", "by_histology"])
def test_edges_across_tissue_borders_are_weaker(section: Section, what: str) -> None:
    graph = graph_of(section, **{what: True})
    across, within = across_and_within(section, graph)
    assert across < 0.9 * within
    assert graph.edge_weights.min() >= 0
    assert graph.edge_weights.max() <= 1


def test_expression_similarity_is_the_cosine_in_principal_components(section: Section) -> None:
    graph = graph_of(section, by_expression=True, expression_components=5)
    counts = section.adata.X.toarray().astype(float)
    logged = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    spread = logged.std(axis=0)
    standard = (logged - logged.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    left, values, _ = np.linalg.svd(standard, full_matrices=False)
    embedded = left[:, :5] * values[:5]
    unit = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
    cosine = (unit[graph.edges[:, 0]] * unit[graph.edges[:, 1]]).sum(axis=1)
    np.testing.assert_allclose(graph.edge_weights, np.clip(cosine, 0, 1), atol=1e-6)


def test_scalings_multiply(section: Section) -> None:
    both = graph_of(section, by_expression=True, by_histology=True)
    one = graph_of(section, by_expression=True)
    other = graph_of(section, by_histology=True)
    np.testing.assert_allclose(both.edge_weights, one.edge_weights * other.edge_weights)


def test_similarity_is_not_worked_out_again_for_lambda_or_regions(section: Section) -> None:
    study = Study()
    study.open(section)
    study.graph_settings = replace(study.graph_settings, by_expression=True, by_histology=True)
    study.update()
    study.boundary_connectivity = 0.5
    study.update()
    study.graph_settings = replace(study.graph_settings, by_histology=False)
    study.update()
    assert study.graph_steps.expression.runs == 1
    assert study.graph_steps.histology.runs == 1
    assert study.graph_steps.neighbours.runs == 1


def test_histology_without_an_image_is_refused(section: Section) -> None:
    bare = Section("bare", section.adata)
    with pytest.raises(InputError, match="no image"):
        graph_of(bare, by_histology=True)
