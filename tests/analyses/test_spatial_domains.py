"""Domains of simulated tissue whose layers are known, and each idea behind them by itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import napari_smoother as ns
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.reduction.choice_of_smoothing import BEYOND, choose_smoothing
from napari_smoother.models.reduction.coherent_components import coherent_components
from napari_smoother.models.reduction.domain_mixture import fit_domain_mixture
from napari_smoother.models.reduction.number_of_domains import choose_number
from napari_smoother.models.reduction.smoothed_embedding import smooth_columns
from napari_smoother.models.spatial_autocorrelation import moran
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision


@pytest.fixture(scope="module")
def cortex():
    """Return few counts a spot, so that no spot can be told by itself."""
    return simulate_cortex(rows=40, n_genes=300, median_counts=150, image_size=200, seed=3)


@pytest.fixture(scope="module")
def found(cortex):
    return ns.domains(cortex.section.adata, 6, copy=True)


def layers(adata) -> np.ndarray:
    return adata.obs["region"].astype(str).to_numpy()


def grid(side: int = 40) -> tuple[np.ndarray, sparse.csr_array]:
    """Return columns and graph of a square grid of spots."""
    y, x = (part.ravel() for part in np.indices((side, side)))
    return x, nearest_neighbours(np.stack([x, y], axis=1).astype(float), 4).weights


def shares_of(weights: sparse.csr_array) -> sparse.csr_array:
    sums = np.asarray(weights.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(1 / sums) @ weights)


def test_layers_of_a_simulated_cortex_are_found_from_few_counts(found) -> None:
    assert adjusted_rand_score(layers(found), found.obs["domain"]) > 0.85
    report = found.uns["smoother"]["domain"]["report"]
    assert found.obsm["X_domain"].shape == (found.n_obs, report["n_directions"])
    np.testing.assert_allclose(found.obsm["domain"].sum(axis=1), 1)
    sizes = found.obs["domain"].value_counts().loc[list("123456")].to_numpy()
    assert (np.diff(sizes) <= 0).all()


def test_every_seed_finds_nearly_the_same(cortex, found) -> None:
    for seed in (1, 2, 3):
        again = ns.domains(cortex.section.adata, 6, seed=seed, copy=True)
        assert adjusted_rand_score(again.obs["domain"], found.obs["domain"]) > 0.95


def test_a_file_holds_what_was_written(found, tmp_path) -> None:
    import anndata as ad

    found.write_h5ad(tmp_path / "found.h5ad")
    read = ad.read_h5ad(tmp_path / "found.h5ad")
    assert read.obs["domain"].equals(found.obs["domain"])
    assert read.uns["smoother"]["domain"]["recipe"]["domains"]["number"] == 6


def test_a_key_of_its_own_and_nothing_else_is_written(cortex) -> None:
    adata = cortex.section.adata.copy()
    before = set(adata.obs), set(adata.obsm), set(adata.obsp), set(adata.varm)
    ns.domains(adata, 3, key_added="layers")
    assert set(adata.obs) - before[0] == {"layers"}
    assert set(adata.obsm) - before[1] == {"layers", "X_layers"}
    assert (set(adata.obsp), set(adata.varm)) == before[2:]


def test_spots_without_counts_belong_to_no_domain(cortex) -> None:
    adata = cortex.section.adata.copy()
    counts = adata.X.tolil()
    counts[[5, 17]] = 0
    adata.X = counts.tocsr()
    ns.domains(adata, 4)
    assert np.flatnonzero(adata.obs["domain"].isna()).tolist() == [5, 17]
    assert np.isnan(adata.obsm["X_domain"][[5, 17]]).all()


def test_directions_of_noise_are_left_out_however_large_they_are() -> None:
    x, weights = grid()
    random = np.random.default_rng(0)
    signal = np.sin(x / 6)
    embedding = np.stack(
        [
            30 * random.standard_normal(len(x)),
            signal + 0.5 * random.standard_normal(len(x)),
            5 * random.standard_normal(len(x)),
        ],
        axis=1,
    )
    coherent = coherent_components(embedding, weights)
    assert coherent.scores.shape[1] == 1
    assert abs(np.corrcoef(coherent.scores[:, 0], signal)[0, 1]) > 0.8


def test_noise_that_hides_a_signal_is_taken_off_by_its_covariance() -> None:
    x, weights = grid()
    random = np.random.default_rng(1)
    signal, noise = np.sin(x / 6), 10 * random.standard_normal(len(x))
    # No component shows the signal, their difference does.
    embedding = np.stack([noise + signal, noise], axis=1)
    assert moran(embedding, weights).max() < 0.1
    coherent = coherent_components(embedding, weights)
    assert coherent.autocorrelation[0] > 0.9
    assert abs(np.corrcoef(coherent.scores[:, 0], signal)[0, 1]) > 0.99


def test_a_fold_of_few_spots_makes_no_direction_of_its_own() -> None:
    x, weights = grid()
    random = np.random.default_rng(2)
    values = np.sin(x / 6) + 0.5 * random.standard_normal(len(x))
    folded = values.copy()
    folded[:12] += 100
    plain = coherent_components(values[:, None], weights).scores[:, 0]
    cut = coherent_components(folded[:, None], weights).scores[:, 0]
    assert np.corrcoef(plain[12:], cut[12:])[0, 1] > 0.99
    assert np.abs(cut).max() < 5 * cut.std()


def test_without_edges_the_embedding_is_taken_as_it_is() -> None:
    values = np.random.default_rng(0).standard_normal((30, 2))
    coherent = coherent_components(values, sparse.csr_array((30, 30)))
    assert coherent.scores.shape == (30, 2)


def test_more_noise_is_smoothed_more_and_near_the_best_for_values() -> None:
    x, weights = grid()
    prior = precision(weights, "icar", 0.99)
    random = np.random.default_rng(3)
    signal = np.sin(x / 6)
    chosen = []
    for noise in (0.3, 1.0, 3.0):
        values = (signal + noise * random.standard_normal(len(x)))[:, None]
        choice = choose_smoothing(values - values.mean(), prior)
        chosen.append(choice.lambda_)
        errors = {
            strength: np.square(
                smooth_columns(values, prior, strength).values[:, 0] - signal
            ).mean()
            for strength in (choice.lambda_ / BEYOND, *choice.strengths)
        }
        assert errors[choice.lambda_ / BEYOND] < 2 * min(errors.values())
    assert chosen[0] < chosen[1] < chosen[2]


def test_a_mixture_makes_no_domain_of_crumbs() -> None:
    x, weights = grid()
    random = np.random.default_rng(4)
    truth = x * 4 // 40
    centres = np.array([[0, 0], [3, 0], [0, 3], [3, 3]], dtype=float)
    values = centres[truth] + 0.5 * random.standard_normal((len(x), 2))
    values[:3] += 6
    found = fit_domain_mixture(values, 4, shares_of(weights), 0.0)
    assert adjusted_rand_score(truth, found.labels) > 0.95


def test_the_covariance_of_domains_is_known_whatever_its_shape() -> None:
    x, weights = grid()
    random = np.random.default_rng(5)
    truth = x * 3 // 40
    values = np.stack(
        [0.2 * random.standard_normal(len(x)) + truth, 2 * random.standard_normal(len(x))],
        axis=1,
    )
    found = fit_domain_mixture(values, 3, shares_of(weights), 0.0)
    assert adjusted_rand_score(truth, found.labels) > 0.9


def test_a_field_helps_where_spots_are_unsure() -> None:
    x, weights = grid()
    random = np.random.default_rng(6)
    truth = x * 2 // 40
    values = truth[:, None] * 2.0 + random.standard_normal((len(x), 1))
    plain = fit_domain_mixture(values, 2, shares_of(weights), 0.0)
    field = fit_domain_mixture(values, 2, shares_of(weights), 2.0)
    gain = adjusted_rand_score(truth, field.labels) - adjusted_rand_score(truth, plain.labels)
    assert gain > 0.2


def test_many_spots_are_sampled_for_the_starts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weights = grid()
    random = np.random.default_rng(7)
    truth = x * 4 // 40
    values = np.eye(4)[truth] * 3 + random.standard_normal((len(x), 4)) / 2
    monkeypatch.setattr("napari_smoother.models.reduction.domain_mixture.SPOTS_OF_STARTS", 200)
    found = fit_domain_mixture(values, 4, shares_of(weights), 0.0)
    assert adjusted_rand_score(truth, found.labels) > 0.95


def test_a_large_section_is_smoothed_as_its_patches_say(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weights = grid()
    prior = precision(weights, "icar", 0.99)
    random = np.random.default_rng(8)
    values = (np.sin(x / 6) + random.standard_normal(len(x)))[:, None]
    whole = choose_smoothing(values - values.mean(), prior).lambda_
    monkeypatch.setattr("napari_smoother.models.reduction.choice_of_smoothing.SPOTS_OF_PATCH", 250)
    assert whole / 3 < choose_smoothing(values - values.mean(), prior).lambda_ < whole * 3


def test_as_many_domains_are_chosen_as_there_are() -> None:
    x, weights = grid()
    random = np.random.default_rng(9)
    for number in (3, 5):
        truth = x * number // 40
        values = 4 * np.eye(number)[truth] + random.standard_normal((len(x), number))
        prior = precision(weights, "icar", 0.99)
        chosen = choose_number(values - values.mean(axis=0), prior, 1.0)
        assert chosen.number == number
        assert len(chosen.criterion) == len(chosen.numbers)


def test_one_domain_and_more_than_spots(cortex) -> None:
    adata = cortex.section.adata
    assert set(ns.domains(adata, 1, copy=True).obs["domain"]) == {"1"}
    with pytest.raises(InputError, match="100000 domains"):
        ns.domains(adata, 100_000)
    with pytest.raises(InputError, match="0 domains"):
        ns.domains(adata, 0)


def test_a_cancel_leaves_nothing_behind(cortex) -> None:
    adata = cortex.section.adata.copy()
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(Cancelled):
        ns.domains(adata, 4, cancelled=cancelled)
    assert "domain" not in adata.obs
    assert "smoother" not in adata.uns or "domain" not in adata.uns["smoother"]
