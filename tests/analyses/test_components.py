"""Components of window and library are the same, to the bit, and an empty spot has none."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

import napari_smoother as ns
from napari_smoother.analyses import components
from napari_smoother.analyses.context import Context, Progress
from napari_smoother.analyses.domain_steps import DomainSteps
from napari_smoother.analyses.embedding_settings import (
    DomainSettings,
    ExpressionSettings,
    ReductionSettings,
)
from napari_smoother.errors import Cancelled
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotated
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.study import Study

EMPTY = 40


@pytest.fixture(scope="module")
def section():
    section = simulate_cortex(rows=20, n_genes=150, seed=5, image_size=400).section
    adata = section.adata.copy()
    counts = adata.X.tolil()
    counts[EMPTY] = 0
    adata.X = counts.tocsr()
    return replace(section, adata=adata)


@pytest.fixture
def reduction(section) -> Reduction:
    study = Study()
    study.open(section)
    return Reduction(study)


def on_the_graph(study: Study):
    adata = study.section.adata.copy()
    adata.obsp["spatial_connectivities"] = study.graph.weights
    return adata


def without_times(entry: dict) -> dict:
    report = {name: value for name, value in entry["report"].items() if name != "graph"}
    return {"recipe": entry["recipe"], "report": report}


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, {}),
        (
            {"components": 4, "lambda_": 0.3, "smoothing": 2.0, "rho": 0.9, "seed": 3},
            {"n_latent": 4, "lambda_": 0.3, "smoothing": 2.0, "rho": 0.9, "seed": 3},
        ),
        (
            {
                "data": ExpressionSettings("X", 60, True, "variable"),
                "process": "isar",
                "smoothing": 0.0,
            },
            {
                "layer": "X",
                "n_genes": 60,
                "scale": True,
                "genes_by": "variable",
                "process": "isar",
                "smoothing": 0.0,
            },
        ),
    ],
)
def test_window_and_library_write_the_same(reduction: Reduction, settings, arguments) -> None:
    reduction.settings = ReductionSettings(**settings)
    reduction.update()
    # The way of the hand leaves no trace.
    for lambda_ in (0.7, reduction.settings.lambda_):
        reduction.settings = replace(reduction.settings, lambda_=lambda_)
        reduction.accept(reduction.run(reduction.request(settled=False)))
    reduction.update()
    saved = annotated(reduction.study)
    adata = on_the_graph(reduction.study)
    ns.spatial_pca(adata, **arguments)
    np.testing.assert_array_equal(saved.obsm["X_spatial_pca"], adata.obsm["X_spatial_pca"])
    np.testing.assert_array_equal(saved.varm["spatial_pca"], adata.varm["spatial_pca"])
    window = dict(saved.uns["smoother"]["spatial_pca"])
    assert "up_to_date" not in window
    assert without_times(window) == without_times(adata.uns["smoother"]["spatial_pca"])


def test_a_spot_without_counts_has_no_scores(reduction: Reduction) -> None:
    reduction.settings = replace(reduction.settings, domains=DomainSettings(True, 4))
    reduction.update()
    saved, adata = annotated(reduction.study), on_the_graph(reduction.study)
    ns.spatial_pca(adata)
    ns.domains(adata, 4)
    for found in (saved, adata):
        lost = np.isnan(found.obsm["X_spatial_pca"]).all(axis=1)
        assert np.flatnonzero(lost).tolist() == [EMPTY]
        assert np.isnan(found.obsm["domain"].to_numpy()[EMPTY]).all()
        assert np.flatnonzero(found.obs["domain"].isna()).tolist() == [EMPTY]
    assert saved.obs["domain"].equals(adata.obs["domain"])
    np.testing.assert_array_equal(saved.obsm["X_domain"], adata.obsm["X_domain"])
    here, there = (found.uns["smoother"]["domain"] for found in (saved, adata))
    assert here["recipe"]["domains"] == there["recipe"]["domains"]
    assert here["report"]["n_domains"] == there["report"]["n_domains"]


def test_one_object_of_steps_serves_several_threads(section, reduction: Reduction) -> None:
    reduction.study.update()
    weights, steps = reduction.study.graph.weights, DomainSteps()
    settings = [ReductionSettings(components=k, smoothing=1.0) for k in (3, 4, 5, 6)]
    alone = [components.compute(section.adata, weights, each) for each in settings]
    found: dict[int, np.ndarray] = {}

    def work(place: int) -> None:
        each = settings[place]
        found[place] = components.compute(section.adata, weights, each, steps=steps).scores

    threads = [threading.Thread(target=work, args=(place,)) for place in (0, 1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, expected in enumerate(alone):
        np.testing.assert_array_equal(found[place], expected.scores)
    assert steps.genes.runs == 1


def test_who_asks_is_told_and_can_stop(section, reduction: Reduction) -> None:
    reduction.study.update()
    weights, steps = reduction.study.graph.weights, DomainSteps()
    settings = ReductionSettings(components=3, domains=DomainSettings(True, 3))
    news: list = []
    found = components.compute(
        section.adata, weights, settings, Context(tell=news.append), steps, ahead=True
    )
    words = [each.text for each in news if isinstance(each, Progress)]
    assert words[:2] == ["choosing genes", "choosing the smoothing"]
    (unfinished, *_) = [each for each in news if not isinstance(each, Progress)]
    assert unfinished.domains is None
    np.testing.assert_array_equal(unfinished.scores, found.scores)
    # A run that is stopped leaves the steps to the next one, which nobody stops.
    other = replace(settings, seed=1, domains=DomainSettings(True, 5))
    with pytest.raises(Cancelled):
        components.compute(section.adata, weights, other, Context(lambda: True), steps)
    again = components.compute(section.adata, weights, other, steps=steps)
    expected = components.compute(section.adata, weights, other)
    np.testing.assert_array_equal(again.domains.labels, expected.domains.labels)


def test_logs_taken_for_counts_are_told(section) -> None:
    adata = section.adata.copy()
    adata.X = adata.X.log1p()
    with pytest.warns(UserWarning, match='layer="X"'):
        ns.spatial_pca(adata, n_latent=2)
