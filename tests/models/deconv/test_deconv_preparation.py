"""The small matrices against dense formulae, and the intercept against a joint fit."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.deconv.preparation import (
    lambda_to_weight,
    normalise_counts,
    prepare_deconvolution,
    reduce_genes,
)
from napari_smoother.models.deconv.reference import Reference

SCALES = ["counts", "log1p"]
WEIGHTS = ["none", "inverse_mean", "inverse_variance"]


@pytest.fixture
def problem():
    """Thirty spots x fifteen genes, of which the reference knows twelve, in another order."""
    random = np.random.default_rng(3)
    counts = random.poisson(2.0, (30, 15)).astype(np.float64)
    counts[4] = 0
    counts[:, 6] = 0
    names = pd.Index([f"gene{i}" for i in range(15)])
    known = random.permutation(15)[:12]
    table = pd.DataFrame(
        random.gamma(1.0, 2.0, (12, 3)), index=names[known], columns=["a", "b", "c"]
    )
    return counts, names, Reference.from_table(table, "random")


def dense_problem(counts, names, reference, scale, gene_weights):
    """Expression, signature and weights by dense formulae, in the section's order of genes."""
    shared = np.flatnonzero(names.isin(reference.genes))
    rows = reference.genes.get_indexer(names[shared])
    means, logs = reference.mean_counts[rows], reference.mean_log[rows]
    totals = counts[:, shared].sum(axis=1, keepdims=True)
    common = means.sum(axis=0).mean()
    expression = counts[:, shared] / np.where(totals > 0, totals, 1) * common
    signature = means
    if scale == "log1p":
        expression, signature = np.log1p(expression), logs
    if gene_weights == "none":
        weights = np.ones(len(shared))
    else:
        spread = expression.mean(0) if gene_weights == "inverse_mean" else expression.var(0)
        weights = 1 / (spread + 0.05 * spread.mean())
    weights *= (logs**2).sum() / np.trace(signature.T @ np.diag(weights) @ signature)
    return expression, signature, weights


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gene_weights", WEIGHTS)
def test_dense_formulae(problem, scale, gene_weights) -> None:
    counts, names, reference = problem
    y, x, w = dense_problem(counts, names, reference, scale, gene_weights)
    prepared = prepare_deconvolution(
        sparse.csr_matrix(counts), names, reference, scale=scale, gene_weights=gene_weights
    )
    np.testing.assert_allclose(prepared.gene_weights, w, rtol=1e-12)
    np.testing.assert_allclose(prepared.gram, x.T @ np.diag(w) @ x, rtol=1e-12)
    np.testing.assert_allclose(prepared.linear, y @ np.diag(w) @ x, rtol=1e-12)
    np.testing.assert_allclose(prepared.spot_norm, (y**2) @ w, rtol=1e-12)
    assert prepared.data_norm == pytest.approx(np.sum(y**2 * w), rel=1e-12)
    assert (prepared.n_spots, prepared.n_genes, prepared.n_types) == (30, 12, 3)
    assert list(prepared.genes) == [name for name in names if name in set(reference.genes)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gene_weights", WEIGHTS)
def test_residuals_of_genes_are_those_of_least_squares(problem, scale, gene_weights) -> None:
    counts, names, reference = problem
    y, x, w = dense_problem(counts, names, reference, scale, gene_weights)
    prepared = prepare_deconvolution(
        sparse.csr_matrix(counts), names, reference, scale=scale, gene_weights=gene_weights
    )
    used = np.arange(30) != 4  # without counts
    root = np.sqrt(w)[:, None]
    with_constant = np.column_stack([x, np.ones(len(x))])
    fitted = np.linalg.lstsq(with_constant * root, y[used].T * root, rcond=None)[0]
    left = y[used] - fitted.T @ with_constant.T
    np.testing.assert_allclose(prepared.gene_residuals, (left**2).mean(axis=0), rtol=1e-8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gene_weights", WEIGHTS)
def test_mean_diagonal_is_that_of_the_unweighted_log_problem(problem, scale, gene_weights) -> None:
    counts, names, reference = problem
    plain = prepare_deconvolution(counts, names, reference, scale="log1p", gene_weights="none")
    other = prepare_deconvolution(counts, names, reference, scale=scale, gene_weights=gene_weights)
    assert np.trace(other.gram) == pytest.approx(np.trace(plain.gram), rel=1e-12)
    np.testing.assert_allclose(plain.gene_weights, 1, rtol=1e-12)


@pytest.mark.parametrize("gene_weights", WEIGHTS)
def test_intercept_against_joint_least_squares(problem, gene_weights) -> None:
    """Abundances and constants fitted together by numpy: same abundances, same residuals."""
    counts, names, reference = problem
    y, x, w = dense_problem(counts, names, reference, "log1p", gene_weights)
    prepared = prepare_deconvolution(
        sparse.csr_matrix(counts),
        names,
        reference,
        scale="log1p",
        gene_weights=gene_weights,
        intercept=True,
    )
    root = np.sqrt(w)
    design = np.column_stack([x, np.ones(len(w))])
    joint = np.linalg.lstsq(root[:, None] * design, root[:, None] * y.T, rcond=None)[0]
    left = ((root[:, None] * (y.T - design @ joint)) ** 2).sum(axis=0)
    abundance = np.linalg.solve(prepared.gram, prepared.linear.T).T
    np.testing.assert_allclose(abundance, joint[:-1].T, atol=1e-9)
    np.testing.assert_allclose(prepared.residual_squares(abundance), left, atol=1e-9)


def test_residuals_of_any_abundance(problem) -> None:
    counts, names, reference = problem
    y, x, w = dense_problem(counts, names, reference, "counts", "inverse_mean")
    prepared = prepare_deconvolution(
        counts, names, reference, scale="counts", gene_weights="inverse_mean"
    )
    abundance = np.random.default_rng(0).random((30, 3))
    np.testing.assert_allclose(
        prepared.residual_squares(abundance), ((y - abundance @ x.T) ** 2) @ w, rtol=1e-10
    )


def test_sparse_and_dense_data_reduce_to_the_same() -> None:
    random = np.random.default_rng(5)
    y, x, w = random.poisson(1.0, (9, 6)).astype(float), random.random((6, 2)), random.random(6)
    for ours, theirs in zip(
        reduce_genes(y, x, w, intercept=True),
        reduce_genes(sparse.csr_matrix(y), x, w, intercept=True),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_mixture_of_signatures_is_recovered() -> None:
    """Noise-free mixtures add up to one, whatever the depth and the genes that are missing."""
    random = np.random.default_rng(1)
    names = pd.Index([f"gene{i}" for i in range(40)])
    table = pd.DataFrame(random.gamma(0.5, 1.0, (40, 3)), index=names, columns=list("abc"))
    reference = Reference.from_table(table, "mixed")
    truth = random.dirichlet(np.ones(3), 20)
    counts = truth @ reference.mean_counts.T * random.uniform(0.2, 5, (20, 1))
    prepared = prepare_deconvolution(
        counts[:, ::-1], names[::-1], reference, scale="counts", gene_weights="inverse_variance"
    )
    abundance = np.linalg.solve(prepared.gram, prepared.linear.T).T
    np.testing.assert_allclose(abundance, truth, atol=1e-10)


@pytest.mark.parametrize("gene_weights", WEIGHTS)
def test_blocks_of_spots_change_nothing(problem, monkeypatch, gene_weights) -> None:
    counts, names, reference = problem
    settings = {"scale": "log1p", "gene_weights": gene_weights, "intercept": True}
    whole = prepare_deconvolution(counts, names, reference, **settings)
    monkeypatch.setattr("napari_smoother.models.deconv.preparation.SPOTS_PER_PIECE", 7)
    blocks = prepare_deconvolution(counts, names, reference, **settings)
    for field in ("gram", "linear", "spot_norm", "empty", "gene_weights"):
        np.testing.assert_allclose(getattr(blocks, field), getattr(whole, field), rtol=1e-10)


def test_empty_spots_say_nothing_and_are_named(problem) -> None:
    counts, names, reference = problem
    prepared = prepare_deconvolution(
        counts, names, reference, scale="log1p", gene_weights="none", intercept=True
    )
    np.testing.assert_array_equal(np.flatnonzero(prepared.empty), [4])
    np.testing.assert_array_equal(prepared.linear[4], 0)
    assert prepared.spot_norm[4] == 0


def test_section_without_any_count(problem) -> None:
    _, names, reference = problem
    prepared = prepare_deconvolution(
        np.zeros((3, 15)), names, reference, scale="counts", gene_weights="inverse_variance"
    )
    assert prepared.empty.all()
    assert np.isfinite(prepared.gram).all()
    assert not prepared.linear.any()


@pytest.mark.parametrize("scale", SCALES)
def test_normalised_totals(scale) -> None:
    counts = sparse.csr_matrix(np.array([[1.0, 3.0], [0.0, 0.0], [10.0, 0.0]]))
    before = counts.copy()
    result = normalise_counts(counts, scale, total=100).toarray()
    expected = np.array([[25.0, 75.0], [0.0, 0.0], [100.0, 0.0]])
    np.testing.assert_allclose(result, expected if scale == "counts" else np.log1p(expected))
    assert (counts != before).nnz == 0


def test_repeated_entries_are_added_before_the_logarithm() -> None:
    raw = sparse.csr_matrix((1, 2))
    raw.data, raw.indices = np.array([1.0, 2.0, 1.0]), np.array([0, 0, 1], dtype=np.int32)
    raw.indptr = np.array([0, 3], dtype=np.int32)
    np.testing.assert_allclose(
        normalise_counts(raw, "log1p", total=4).toarray(), np.log1p([[3.0, 1.0]])
    )


def test_given_weights_follow_the_genes_of_the_section(problem) -> None:
    counts, names, reference = problem
    given = np.arange(15.0)
    prepared = prepare_deconvolution(counts, names, reference, scale="counts", gene_weights=given)
    expected = given[names.get_indexer(prepared.genes)]
    np.testing.assert_allclose(
        prepared.gene_weights / prepared.gene_weights.sum(), expected / expected.sum()
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), "shape"),
        (-np.ones(15), "negative"),
        (np.full(15, np.nan), "missing"),
        (np.zeros(15), "No shared gene with a weight"),
        ("median", "no gene weights 'median'"),
    ],
)
def test_weights_that_cannot_be_used(problem, weights, message) -> None:
    counts, names, reference = problem
    with pytest.raises(InputError, match=message):
        prepare_deconvolution(counts, names, reference, scale="counts", gene_weights=weights)


@pytest.mark.parametrize(
    ("bad", "message"), [(-1.0, "1 counts are negative"), (np.nan, "1 counts are missing")]
)
def test_bad_counts(problem, bad, message) -> None:
    counts, names, reference = problem
    counts[0, names.get_loc(reference.genes[0])] = bad
    with pytest.raises(InputError, match=message):
        prepare_deconvolution(
            sparse.csr_matrix(counts), names, reference, scale="counts", gene_weights="none"
        )


def test_bad_scale_and_shape(problem) -> None:
    counts, names, reference = problem
    with pytest.raises(InputError, match="no data scale 'sqrt'"):
        prepare_deconvolution(counts, names, reference, scale="sqrt", gene_weights="none")
    with pytest.raises(InputError, match="30 columns for 15 gene names"):
        prepare_deconvolution(counts.T, names, reference, scale="counts", gene_weights="none")
    with pytest.raises(InputError, match="no spots"):
        prepare_deconvolution(counts[:0], names, reference, scale="counts", gene_weights="none")


def test_cancelling(problem) -> None:
    counts, names, reference = problem
    with pytest.raises(Cancelled):
        prepare_deconvolution(
            counts,
            names,
            reference,
            scale="counts",
            gene_weights="none",
            cancelled=lambda: True,
        )


def test_lambda_in_the_solvers_units() -> None:
    """Both forms of the objective differ by the factor G n / 2, whatever B is."""
    random = np.random.default_rng(2)
    n, g, k, lambda_ = 7, 5, 3, 0.8
    y, x, b = random.random((n, g)), random.random((g, k)), random.random((n, k))
    q = np.diag(np.arange(1.0, n + 1))
    published = ((y - b @ x.T) ** 2).sum() / (g * n) + lambda_ * np.trace(b.T @ q @ b) / (k * n)
    solved = ((y - b @ x.T) ** 2).sum() / 2 + lambda_to_weight(lambda_, g, k) / 2 * np.trace(
        b.T @ q @ b
    )
    assert solved == pytest.approx(published * g * n / 2, rel=1e-12)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="lambda is"):
            lambda_to_weight(bad, g, k)


@pytest.mark.tissue
@pytest.mark.parametrize("scale", SCALES)
def test_lymph_node_problem_is_well_posed(tissue, scale) -> None:
    folder = tissue / "visium_human_lymph_node"
    section = ad.read_h5ad(folder / "lymph_node_visium_1000spots.h5ad")
    cells = ad.read_h5ad(folder / "lymph_node_reference_330cells.h5ad")
    reference = Reference.from_cells(cells, "cell_type", "lymph node")
    prepared = prepare_deconvolution(
        section.X, section.var, reference, scale=scale, gene_weights="inverse_mean"
    )
    y, x, w = dense_problem(
        section.X.toarray().astype(np.float64),
        section.var_names,
        reference,
        scale,
        "inverse_mean",
    )
    assert prepared.n_genes == 558
    np.testing.assert_allclose(prepared.gram, x.T @ (w[:, None] * x), rtol=1e-9)
    np.testing.assert_allclose(prepared.linear, y @ (w[:, None] * x), rtol=1e-9)
    assert np.linalg.eigvalsh(prepared.gram)[0] > 0
