"""Noise and signature from cells and spots: against the model they are simulated from."""

from __future__ import annotations

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.linalg import eigh

from napari_smoother import deconvolve
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv import Reference, expression, noise_model
from napari_smoother.models.deconv.cell_spread import CellSpread
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.models.deconv.noise_model import fit_noise_model, signature_error
from napari_smoother.models.deconv.preparation import prepare_deconvolution
from napari_smoother.models.held_out_genes import make_folds, split_genes

DEPTH = 5000.0


@dataclass
class Simulated:
    """Spots of a few cells, and a reference of others of their kind."""

    counts: sparse.csr_matrix
    cells: ad.AnnData
    shares: np.ndarray
    signature: np.ndarray  # per ten thousand, G x K
    platform: np.ndarray

    @property
    def genes(self) -> pd.Index[str]:
        return pd.Index(self.cells.var_names)

    @property
    def reference(self) -> Reference:
        return Reference.from_cells(self.cells, "type", "cells")

    def prepared(self, **settings):
        chosen = {"scale": "counts", "gene_weights": "within_type", "intercept": True} | settings
        return prepare_deconvolution(self.counts, self.genes, self.reference, **chosen)

    def adata(self) -> ad.AnnData:
        """The spots on a line, far from each other's composition: only lambda 0 is of use."""
        adata = ad.AnnData(self.counts, var=pd.DataFrame(index=self.genes))
        adata.obsm["spatial"] = np.column_stack([np.arange(adata.n_obs), np.zeros(adata.n_obs)])
        return adata


def simulate(
    *,
    seed: int = 0,
    n_spots: int = 400,
    n_genes: int = 300,
    n_types: int = 4,
    per_type: int = 200,
    cells_per_spot: int = 8,
    unexplained: float = 0.0,
    platform: float = 0.0,
    spread: float = 1.0,
) -> Simulated:
    """Gamma cells of equal totals, a spot being so many of them, counted by Poisson's law.

    `spread` is the mean squared coefficient of variation of a gene within a type, `unexplained`
    that of spots beyond their cells, `platform` the standard deviation of log factors on genes.
    """
    random = np.random.default_rng(seed)
    signature = random.gamma(0.7, 1.0, (n_genes, n_types)) + 0.05
    signature *= 1e4 / signature.sum(axis=0)
    variable = np.maximum(spread * random.gamma(1.0, 1.0, n_genes), 1e-6)

    def cells_of(types):
        return signature[:, types].T * random.gamma(1 / variable, variable, (len(types), n_genes))

    of_cells = np.repeat(np.arange(n_types), per_type)
    reference = random.poisson(cells_of(of_cells) * DEPTH / 1e4)
    of_spots = np.stack(
        [
            random.choice(n_types, cells_per_spot, p=p)
            for p in random.dirichlet(np.ones(n_types), n_spots)
        ]
    )
    pure = cells_of(of_spots.ravel()).reshape(n_spots, cells_per_spot, n_genes).mean(axis=1)
    factors = np.exp(random.normal(0, platform, n_genes)) if platform else np.ones(n_genes)
    if unexplained:
        pure = pure * random.gamma(1 / unexplained, unexplained, pure.shape)
    return Simulated(
        sparse.csr_matrix(random.poisson(pure * factors * DEPTH / 1e4).astype(float)),
        ad.AnnData(
            sparse.csr_matrix(reference.astype(float)),
            obs=pd.DataFrame(
                {"type": [f"type {k}" for k in of_cells]},
                index=[f"cell {i}" for i in range(len(of_cells))],
            ),
            var=pd.DataFrame(index=[f"gene {g}" for g in range(n_genes)]),
        ),
        np.stack([(of_spots == k).mean(axis=1) for k in range(n_types)], axis=1),
        signature,
        factors,
    )


@pytest.mark.parametrize("cells_per_spot", [3, 8, 20])
def test_the_cells_that_a_spot_is_worth_are_found(cells_per_spot) -> None:
    model = simulate(cells_per_spot=cells_per_spot).prepared().noise_model
    assert model.cells_per_spot == pytest.approx(cells_per_spot, rel=0.2)
    assert model.unexplained < 0.02


@pytest.mark.parametrize("unexplained", [0.05, 0.2])
def test_what_cells_do_not_explain_is_found(unexplained) -> None:
    """It multiplies the other noise too, so it comes out a little above."""
    model = simulate(unexplained=unexplained, per_type=500).prepared().noise_model
    assert model.unexplained == pytest.approx(1.15 * unexplained, rel=0.15)
    assert model.cells_per_spot == pytest.approx(8, rel=0.2)


def test_noise_is_that_of_spots_around_their_mixture() -> None:
    found = simulate(unexplained=0.1)
    prepared = found.prepared()
    expression = normalise_counts(found.counts, "counts", total=prepared.spot_total).toarray()
    residual = expression - found.shares @ found.signature.T
    expected = (residual**2).mean(axis=0)
    noise = prepared.noise_model.noise
    assert np.median(noise / expected) == pytest.approx(1, abs=0.1)
    assert np.corrcoef(np.log(noise), np.log(expected))[0, 1] > 0.9
    np.testing.assert_allclose(prepared.gene_weights * noise, prepared.gene_weights[0] * noise[0])


def test_factors_of_the_platform_are_found_and_none_where_there_are_none() -> None:
    found = simulate(platform=0.5)
    factors = found.prepared().noise_model.gene_factors
    assert np.corrcoef(np.log(factors), np.log(found.platform))[0, 1] > 0.97
    assert np.std(np.log(factors)) == pytest.approx(np.std(np.log(found.platform)), rel=0.1)
    assert np.std(np.log(simulate().prepared().noise_model.gene_factors)) < 0.05


@pytest.mark.parametrize("intercept", [True, False])
def test_signature_error_is_the_mean_inflation_of_the_gram_matrix(intercept) -> None:
    random = np.random.default_rng(1)
    signature = random.gamma(1.0, 1.0, (40, 3))
    weights, variance = random.gamma(2.0, 1.0, 40), random.gamma(2.0, 0.005, (40, 3))

    def gram(of):
        centred = of - (weights @ of) / weights.sum() if intercept else of
        return centred.T @ (weights[:, None] * centred)

    draws = []
    for _ in range(1000):
        error = np.sqrt(variance) * random.standard_normal(variance.shape)
        draws.append((gram(signature + error) + gram(signature - error)) / 2)
    expected = np.mean(draws, axis=0) - gram(signature)
    added = signature_error(gram(signature), weights, variance, intercept=intercept)
    scatter = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(expected - np.diag(added)) < 4 * scatter).all()
    assert (added > 20 * np.diag(scatter)).all()  # so that the bound above says something


def test_no_more_is_taken_from_the_gram_matrix_than_it_can_bear() -> None:
    random = np.random.default_rng(1)
    signature = random.gamma(1.0, 1.0, (40, 3))
    gram = signature.T @ signature
    variance = np.full((40, 3), 50.0)
    removed = signature_error(gram, np.ones(40), variance, intercept=False)
    largest = eigh(np.diag(removed), gram, eigvals_only=True)[-1]
    assert largest == pytest.approx(noise_model.MOST_REMOVED, rel=1e-6)
    np.testing.assert_allclose(removed, removed[0])  # a share of what was common to all types
    assert not signature_error(gram, np.ones(40), 0 * variance, intercept=False).any()


def test_the_update_moves_a_noisy_signature_towards_the_truth() -> None:
    found = simulate(per_type=6, seed=4)
    prepared = found.prepared()
    model = prepared.noise_model
    given = found.reference
    before = given.mean_counts * model.gene_factors[:, None] - found.signature
    after = model.signature - found.signature
    weights = prepared.gene_weights[:, None]
    assert (weights * after**2).sum() < 0.6 * (weights * before**2).sum()
    claimed = given.spread.of_means(given.mean_counts) * model.gene_factors[:, None] ** 2
    assert (model.signature_variance <= claimed * (1 + 1e-9)).all()
    # What is said to be left of the error is about what is left.
    ratio = (weights * model.signature_variance).sum() / (weights * after**2).sum()
    assert 0.5 < ratio < 2
    assert (model.signature >= 0).all()


def test_only_the_error_that_the_section_confirms_is_taken() -> None:
    """Spots that are sums of the reference's own cells miss its means by nothing."""
    found = simulate(per_type=40, n_spots=40)
    spot = np.repeat(np.arange(40), 4)
    order = np.random.default_rng(0).permutation(160)
    member = sparse.csr_matrix((np.ones(160), (spot, order)), shape=(40, 160))
    claimed = found.reference.spread.of_means(found.reference.mean_counts).sum()
    of_others = found.prepared().noise_model.signature_variance.sum()
    assert 0.6 * claimed < of_others < claimed
    found.counts = sparse.csr_matrix(member @ found.cells.X)
    own = found.prepared()
    assert own.noise_model.signature_variance.sum() < 0.05 * claimed
    assert own.signature_error.sum() < 0.01 * np.trace(own.gram)


def composition_error(found: Simulated, **settings) -> float:
    adata = found.adata()
    deconvolve(adata, found.reference, cell_type="type", **settings)
    return float(np.sqrt(((adata.obsm["nnls"].to_numpy() - found.shares) ** 2).mean()))


@pytest.mark.parametrize("platform", [0.0, 0.5])
@pytest.mark.parametrize("per_type", [6, 100])
def test_composition_is_closer_to_the_truth_than_with_inverse_means(platform, per_type) -> None:
    found = simulate(
        platform=platform, per_type=per_type, n_types=8, seed=1, n_genes=200, spread=2.0
    )
    ours = composition_error(found, lambda_=0.0)
    theirs = composition_error(found, lambda_=0.0, gene_weights="inverse_mean")
    assert ours < 0.9 * theirs


def test_the_order_of_genes_and_spots_does_not_matter() -> None:
    found = simulate(n_spots=60, n_genes=50, platform=0.3, per_type=30)
    prepared = found.prepared()
    random = np.random.default_rng(0)
    genes, spots = random.permutation(50), random.permutation(60)
    turned = prepare_deconvolution(
        found.counts[spots][:, genes],
        found.genes[genes],
        Reference.from_cells(found.cells[:, random.permutation(50)], "type", "cells"),
        scale="counts",
        gene_weights="within_type",
        intercept=True,
    )
    np.testing.assert_allclose(turned.gram, prepared.gram, rtol=1e-5)
    np.testing.assert_allclose(turned.linear, prepared.linear[spots], rtol=1e-5)
    np.testing.assert_allclose(turned.gene_weights, prepared.gene_weights[genes], rtol=1e-5)
    np.testing.assert_allclose(turned.signature, prepared.signature[genes], rtol=1e-5)


def test_the_same_bits_every_time() -> None:
    found = simulate(n_spots=80, n_genes=60)
    first, second = found.prepared(), found.prepared()
    for name in ("gram", "linear", "gene_weights", "signature", "signature_error"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_of_many_spots_some_tell_it(monkeypatch) -> None:
    found = simulate(n_spots=600, n_genes=100)
    whole = found.prepared()
    monkeypatch.setattr(expression, "SAMPLED_SPOTS", 200)
    sampled, again = found.prepared(), found.prepared()
    assert sampled.linear.shape == whole.linear.shape
    assert (sampled.gene_weights != whole.gene_weights).any()
    assert sampled.noise_model.cells_per_spot == pytest.approx(
        whole.noise_model.cells_per_spot, rel=0.2
    )
    np.testing.assert_array_equal(sampled.gram, again.gram)


def test_cancel() -> None:
    found = simulate(n_spots=60, n_genes=50)
    asked = [0]

    def count() -> bool:
        asked[0] += 1
        return False

    found.prepared(cancelled=count)
    for last in range(asked[0]):
        left = [last]

        def cancelled(left=left) -> bool:
            left[0] -= 1
            return left[0] < 0

        with pytest.raises(Cancelled):
            found.prepared(cancelled=cancelled)


def as_table(found: Simulated) -> Reference:
    means = found.reference.mean_counts
    return Reference.from_table(pd.DataFrame(means, index=found.genes), "table")


def as_normalised(found: Simulated) -> Reference:
    cells = found.cells.copy()
    random = np.random.default_rng(0)
    cells.X = sparse.csr_matrix(cells.X.multiply(random.uniform(0.5, 1, cells.shape)))
    return Reference.from_cells(cells, "type", "cells")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("made", [as_table, as_normalised])
def test_without_counted_cells_weights_are_inverse_means(made) -> None:
    found = simulate(n_spots=60, n_genes=50)
    reference = made(found)
    assert reference.spread is None
    _assert_inverse_means(found, reference, "counts")


def test_logarithms_are_weighted_by_inverse_means() -> None:
    found = simulate(n_spots=60, n_genes=50)
    assert found.reference.spread is not None
    _assert_inverse_means(found, found.reference, "log1p")


def _assert_inverse_means(found: Simulated, reference: Reference, scale: str) -> None:
    ours, theirs = (
        prepare_deconvolution(
            found.counts, found.genes, reference, scale=scale, gene_weights=name, intercept=True
        )
        for name in ("within_type", "inverse_mean")
    )
    assert ours.noise_model is None
    for name in ("gram", "linear", "gene_weights", "signature", "spot_norm"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_held_out_folds_are_those_of_dense_formulae() -> None:
    found = simulate(n_spots=30, n_genes=60, per_type=10)
    reference, prepared = found.reference, found.prepared()
    folds = make_folds(
        found.counts, found.genes, reference, prepared, scale="counts", folds=3, seed=1
    )
    expression = normalise_counts(found.counts, "counts", total=prepared.spot_total).toarray()
    w, x = prepared.gene_weights, prepared.signature
    fold_of = split_genes(x, w, 3, 1)
    variance = prepared.noise_model.signature_variance
    for number, fold in enumerate(folds):
        for genes, sums in ((fold_of != number, fold.kept), (fold_of == number, fold.held_out)):
            extended = np.column_stack([x[genes], np.ones(genes.sum())])
            weighted = w[genes, None] * extended
            counted = w[genes] * (1 - w[genes] / w[genes].sum())
            centred = x[genes] - w[genes] @ x[genes] / w[genes].sum()
            added = counted @ variance[genes]
            bearable = eigh(
                np.diag(added), centred.T @ (w[genes, None] * centred), eigvals_only=True
            )
            added = added * min(1, noise_model.MOST_REMOVED / bearable[-1])
            assert added.min() > 0
            expected = extended.T @ weighted - np.diag(np.append(added, 0))
            np.testing.assert_allclose(sums.gram, expected, rtol=1e-6)
            np.testing.assert_allclose(sums.linear, expression[:, genes] @ weighted, rtol=1e-9)
        eigenvalues = np.linalg.eigvalsh(fold.data.gram)
        assert eigenvalues[0] > 0


def poor(counts: np.ndarray, cells: np.ndarray, types: list[str]):
    """A preparation of whatever is given."""
    names = pd.Index([f"gene {g}" for g in range(counts.shape[1])])
    adata = ad.AnnData(
        sparse.csr_matrix(cells, dtype=float),
        obs=pd.DataFrame({"type": types}, index=[f"cell {i}" for i in range(len(cells))]),
        var=pd.DataFrame(index=names),
    )
    reference = Reference.from_cells(adata, "type", "cells")
    return prepare_deconvolution(
        sparse.csr_matrix(counts, dtype=float),
        names,
        reference,
        scale="counts",
        gene_weights="within_type",
        intercept=True,
    )


def _identical_cells(random):
    cells = np.repeat(random.integers(1, 50, (3, 20)), 4, axis=0)
    return random.poisson(5.0, (30, 20)), cells, ["a"] * 4 + ["b"] * 4 + ["c"] * 4


def _one_gene_at_a_time(random):
    cells = 20 * np.eye(12, dtype=int)[np.arange(24) % 12]
    return 7 * np.eye(12, dtype=int)[np.arange(30) % 12], cells, list("abcdefghijkl") * 2


def _absent_genes(random):
    counts, cells = random.poisson(5.0, (30, 20)), random.poisson(5.0, (12, 20))
    counts[:, :5] = 0
    cells[:, 3:8] = 0
    return counts, cells, ["a", "b", "c"] * 4


def _only_one_gene_in_common(random):
    counts, cells = np.zeros((30, 20), dtype=int), np.zeros((12, 20), dtype=int)
    counts[:, 0] = cells[:, 0] = 9
    counts[:, 1:10] = random.poisson(2.0, (30, 9))
    cells[:, 10:] = random.poisson(2.0, (12, 10))
    return counts, cells, ["a", "b", "c"] * 4


def _one_spot(random):
    return random.poisson(5.0, (1, 20)), random.poisson(5.0, (12, 20)), ["a", "b", "c"] * 4


def _one_type(random):
    return random.poisson(5.0, (30, 20)), random.poisson(5.0, (12, 20)), ["a"] * 12


def _two_cells_a_type(random):
    return random.poisson(5.0, (30, 20)), random.poisson(5.0, (6, 20)), ["a", "b", "c"] * 2


def _types_alike(random):
    cells = np.repeat(random.poisson(5.0, (4, 20)), 3, axis=0)
    return random.poisson(5.0, (30, 20)), cells, ["a", "b", "c"] * 4


def _huge_counts(random):
    counts, cells, types = _absent_genes(random)
    return counts * 10**9, cells * 10**6, types


def _one_mean_for_all_genes(random):
    return random.poisson(5.0, (30, 20)), np.full((12, 20), 3), ["a", "b", "c"] * 4


def _a_spot_alone_has_counts(random):
    counts, cells, types = _absent_genes(random)
    counts[1:] = 0
    return counts, cells, types


@pytest.mark.parametrize(
    "made",
    [
        _identical_cells,
        _one_gene_at_a_time,
        _absent_genes,
        _only_one_gene_in_common,
        _one_spot,
        _one_type,
        _two_cells_a_type,
        _types_alike,
        _huge_counts,
        _one_mean_for_all_genes,
        _a_spot_alone_has_counts,
    ],
)
def test_poor_data_give_finite_numbers(made) -> None:
    prepared = poor(*made(np.random.default_rng(8)))
    model = prepared.noise_model
    for values in (
        prepared.gram,
        prepared.linear,
        prepared.gene_weights,
        prepared.signature,
        model.signature_variance,
        model.noise,
        model.gene_factors,
    ):
        assert np.isfinite(values).all()
    assert (model.noise > 0).all()
    assert (prepared.signature >= 0).all()
    scale = np.sum(prepared.gene_weights[:, None] * prepared.signature**2)
    assert np.linalg.eigvalsh(prepared.gram)[0] >= -1e-9 * scale
    assert model.unexplained >= 0
    assert model.cells_per_spot > 0


def test_a_section_without_counts_is_refused_as_such() -> None:
    found = simulate(n_spots=20, n_genes=30, per_type=10)
    adata = found.adata()
    adata.var_names = [f"gene {g}" for g in range(15)] + [f"other {g}" for g in range(15)]
    adata.X = sparse.csr_matrix(adata.X.multiply(np.arange(30) >= 15))
    with pytest.raises(InputError, match="No spot has a count in the genes shared"):
        deconvolve(adata, found.cells, cell_type="type")


@pytest.mark.parametrize("model", ["nnls", "dwls", "poisson"])
def test_a_reference_without_the_shared_genes_is_refused_as_such(model) -> None:
    found = simulate(n_spots=20, n_genes=30, per_type=10)
    found.cells.X = sparse.csr_matrix(found.cells.X.multiply(np.arange(30) >= 15))
    adata = found.adata()[:, :15].copy()
    with pytest.raises(InputError, match="No shared gene with a weight is expressed"):
        deconvolve(adata, found.cells, cell_type="type", model=model)


def test_more_types_than_genes() -> None:
    random = np.random.default_rng(0)
    signature = random.gamma(1.0, 1.0, (5, 9))
    sums = np.zeros((1, 5), dtype=np.float32)
    spread = CellSpread(random.gamma(1.0, 1.0, 5), 2.0, np.full(9, 10), sums, 0.0)
    spots = sparse.csr_matrix(random.poisson(3.0, (40, 5)).astype(float))
    model = fit_noise_model(spots, 2.0, signature, spread)
    assert np.isfinite(model.signature).all()
    assert np.isfinite(model.signature_variance).all()
    assert (model.noise > 0).all()


def test_without_noise_the_composition_is_exact() -> None:
    random = np.random.default_rng(0)
    types = random.integers(1, 40, (3, 30)) * 10.0
    types[:, -1] += types.sum(axis=1).max() - types.sum(axis=1)
    shares = random.dirichlet(np.ones(3), 50)
    shares = np.round(shares * 100)
    names = [f"gene {g}" for g in range(30)]
    cells = ad.AnnData(
        sparse.csr_matrix(np.repeat(types, 5, axis=0)),
        obs=pd.DataFrame({"type": np.repeat(["a", "b", "c"], 5)}, index=map(str, range(15))),
        var=pd.DataFrame(index=names),
    )
    spots = ad.AnnData(sparse.csr_matrix(shares @ types), var=pd.DataFrame(index=names))
    spots.obsm["spatial"] = np.column_stack([np.arange(50.0), np.zeros(50)])
    deconvolve(spots, cells, cell_type="type", lambda_=0.0, tolerance=1e-9)
    expected = shares / shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(spots.obsm["nnls"], expected, atol=1e-4)
