"""A gene imputed in the window is the one of the library, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_smoother as ns
from napari_smoother.analyses import imputation
from napari_smoother.analyses.gene_values import log_expression
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.errors import InputError
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.annotated import annotated
from napari_smoother.study.imputation import Imputation
from napari_smoother.study.study import Study

GENE, EMPTY = "CUX2", 40


@pytest.fixture
def analysis() -> Imputation:
    section = simulate_cortex(rows=18, n_genes=80, seed=5, image_size=400).section
    adata = section.adata.copy()
    counts = adata.X.tolil()
    counts[EMPTY] = 0
    adata.X = counts.tocsr()
    adata.obs["seen"] = np.arange(adata.n_obs) % 5 > 0
    study = Study()
    study.open(replace(section, adata=adata))
    study.update()
    return Imputation(study)


def on_the_graph(study: Study):
    adata = study.section.adata.copy()
    adata.obsp["spatial_connectivities"] = study.graph.weights
    return adata


@pytest.mark.filterwarnings("ignore:.*pieces of the graph")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lambda_": 30.0, "rho": 0.9, "process": "isar"},
        {"fixed": True},
        {"nonneg": False, "process": "sar", "rho": 0.1},
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("storage", ["sparse", "dense"])
def test_window_and_library_write_the_same(analysis, settings, hidden, storage) -> None:
    columns = {"hidden_column": "seen", "hidden_class": "False"} if hidden else {}
    analysis.settings = ImputationSettings(gene=GENE, **settings, **columns)
    analysis.update()
    saved, adata = annotated(analysis.study), on_the_graph(analysis.study)
    if storage == "dense":
        adata.X = adata.X.toarray()
    ns.impute(adata, [GENE], observed="seen" if hidden else None, **settings)
    np.testing.assert_array_equal(saved.obsm["imputed"], adata.obsm["imputed"])
    assert list(saved.obsm["imputed"]) == list(adata.obsm["imputed"]) == [GENE]
    window, library = (each.uns["smoother"]["imputed"] for each in (saved, adata))
    for name in ("fixed", "nonneg", "process", "rho", "lambda_", "tolerance"):
        assert window["recipe"][name] == library["recipe"][name]
    for name in ("n_spots", "n_observed", "objective", "residual", "converged", "method"):
        assert window["report"][name] == library["report"][name]
    assert library["report"]["n_observed"] < adata.n_obs, "the empty spot was not seen"


def test_an_empty_spot_is_filled_in_from_its_neighbours(analysis: Imputation) -> None:
    adata = on_the_graph(analysis.study)
    ns.impute(adata, GENE, fixed=True)
    counts = adata.X.toarray().astype(float)
    with np.errstate(invalid="ignore"):
        raw = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    values = adata.obsm["imputed"][GENE].to_numpy()
    seen = np.arange(adata.n_obs) != EMPTY
    np.testing.assert_allclose(values[seen], raw[seen][:, adata.var_names == GENE][:, 0])
    neighbours = analysis.study.graph.weights[[EMPTY]].indices
    assert values[EMPTY] == pytest.approx(values[neighbours].mean())


def test_a_gene_is_the_same_whichever_others_are_asked_for(analysis: Imputation) -> None:
    adata = analysis.study.section.adata
    place = list(adata.var_names).index(GENE)
    one = log_expression(adata, [GENE], where="here").toarray()[:, 0]
    np.testing.assert_array_equal(
        log_expression(adata, None, where="here").toarray()[:, place], one
    )
    whole = on_the_graph(analysis.study)
    ns.impute(whole)
    ns.impute(whole, [GENE])
    np.testing.assert_allclose(
        whole.layers["imputed"][:, place], whole.obsm["imputed"][GENE], rtol=1e-5, atol=1e-6
    )


def test_a_layer_is_taken_as_it_is(analysis: Imputation) -> None:
    adata = on_the_graph(analysis.study)
    adata.layers["twice"] = adata.X * 2
    ns.impute(adata, [GENE], layer="X", key_added="once")
    ns.impute(adata, [GENE], layer="twice", key_added="twice")
    np.testing.assert_allclose(adata.obsm["twice"], 2 * adata.obsm["once"])
    with pytest.raises(InputError, match="no gene 'NOSUCH'"):
        ns.impute(adata, ["NOSUCH"])
    adata.X = adata.X.log1p()
    with pytest.warns(UserWarning, match='layer="X"'):
        ns.impute(adata, [GENE])


def test_defaults_are_those_of_the_settings() -> None:
    import inspect

    defaults, record = inspect.signature(ns.impute).parameters, ImputationSettings()
    for name in ("fixed", "nonneg", "process", "rho", "lambda_"):
        assert defaults[name].default == getattr(record, name)
    assert defaults["tolerance"].default == imputation.TOLERANCE
