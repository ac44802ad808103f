"""How cells of one type differ: against variances taken by hand."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.counts import finding
from napari_smoother.models.deconv.cell_spread import COUNTED_SHARE, LEAST_EXPRESSION, CellSpread
from napari_smoother.models.deconv.reference import Reference


def spread_of(variance: np.ndarray, counting: float, cells_per_type: np.ndarray) -> CellSpread:
    """Of genes that vary each by itself, in cells of equal totals."""
    sums = np.zeros((1, len(variance)), dtype=np.float32)
    return CellSpread(variance, counting, cells_per_type, random_sums=sums, total_variation=0.0)


@pytest.fixture
def cells() -> ad.AnnData:
    """Ninety cells of four types, some without a label or a count, one type too rare."""
    random = np.random.default_rng(2)
    counts = random.poisson(random.gamma(1.0, 3.0, (90, 25)))
    counts[[3, 40]] = 0
    labels = np.array(["a", "b", "c", None])[random.choice(4, 90, p=[0.5, 0.3, 0.1, 0.1])]
    labels[7] = "rare"
    return ad.AnnData(
        sparse.csr_matrix(counts.astype(float)),
        obs=pd.DataFrame({"type": labels}, index=[f"cell {i}" for i in range(90)]),
        var=pd.DataFrame(index=[f"gene {g}" for g in range(25)]),
    )


def by_hand(cells: ad.AnnData) -> tuple[np.ndarray, float, list[int]]:
    """Pooled variance within types, mean of ten thousand over totals, cells a type."""
    counts, labels = cells.X.toarray(), cells.obs["type"].to_numpy()
    totals = counts.sum(axis=1)
    squares, free, counting, sizes = 0.0, 0, [], []
    for name in ("a", "b", "c"):
        mine = (labels == name) & (totals > 0)
        share = counts[mine] / totals[mine, None] * 1e4
        squares = squares + (len(share) - 1) * share.var(axis=0, ddof=1)
        free += len(share) - 1
        counting.extend(1e4 / totals[mine])
        sizes.append(len(share))
    return squares / free, float(np.mean(counting)), sizes


@pytest.mark.filterwarnings("ignore:.*left out cell types:UserWarning")
@pytest.mark.parametrize("rows", [7, 8192])
def test_pooled_variance_and_counting(cells, rows, monkeypatch) -> None:
    read = finding.csr_chunks
    monkeypatch.setattr(finding, "csr_chunks", lambda matrix, _: read(matrix, rows))
    spread = Reference.from_cells(cells, "type", "cells").spread
    variance, counting, sizes = by_hand(cells)
    np.testing.assert_allclose(spread.variance, variance, rtol=1e-10)
    assert spread.counting == pytest.approx(counting, rel=1e-12)
    assert spread.cells_per_type.tolist() == sizes


@pytest.mark.filterwarnings("ignore:.*left out cell types:UserWarning")
def test_restored_counts_tell_the_same(cells) -> None:
    variance, counting, _ = by_hand(cells)
    totals = np.asarray(cells.X.sum(axis=1))
    shares = sparse.csr_matrix(cells.X.multiply(1e4 / np.maximum(totals, 1)))
    cells.X = shares.log1p()
    spread = Reference.from_cells(cells, "type", "cells").spread
    np.testing.assert_allclose(spread.variance, variance, rtol=1e-6)
    assert spread.counting == pytest.approx(counting, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*left out cell types:UserWarning")
def test_some_genes_only(cells) -> None:
    spread = Reference.from_cells(cells, "type", "cells").spread
    genes = np.array([4, 0, 17])
    some = spread.of_genes(genes)
    np.testing.assert_array_equal(some.variance, spread.variance[genes])
    assert some.counting == spread.counting
    np.testing.assert_array_equal(some.cells_per_type, spread.cells_per_type)


def test_standard_errors_are_those_of_means_over_many_references() -> None:
    """Of Poisson cells, whose variance goes with the mean as it is taken to do."""
    random = np.random.default_rng(0)
    mean = random.gamma(2.0, 200.0, (12, 2)) + 100  # per ten thousand
    mean *= 1e4 / mean.sum(axis=0)
    depth, sizes = 500.0, np.array([5, 40])
    means = []
    for _ in range(400):
        drawn = [random.poisson(mean[:, k] * depth / 1e4, (n, 12)) for k, n in enumerate(sizes)]
        means.append(np.stack([d.mean(axis=0) * 1e4 / depth for d in drawn], axis=1))
    over_types = mean @ sizes / sizes.sum()
    spread = spread_of(over_types * 1e4 / depth, 1e4 / depth, sizes)
    expected = np.var(means, axis=0)
    ratio = spread.of_means(mean) / expected
    assert np.abs(np.log(ratio)).max() < 0.35  # a variance over 400 draws is known to 7 %
    assert np.median(ratio) == pytest.approx(1, abs=0.06)


def test_a_gene_that_a_type_lacks_still_has_an_error() -> None:
    spread = spread_of(np.array([8.0, 0.0]), 1.0, np.array([4, 4]))
    errors = spread.of_means(np.array([[2.0, 0.0], [0.0, 0.0]]))
    # Variance goes with the mean: 8 over a mean of 1, a fourth of it for the mean of four cells.
    np.testing.assert_allclose(errors, [[8 * 2 / 4, 8 * LEAST_EXPRESSION / 4], [0, 0]])


def test_counting_is_not_biology() -> None:
    spread = spread_of(np.array([8.0, 2.0]), 2.0, np.array([4, 4]))
    found = spread.biological(np.array([[1.0, 2.0], [3.0, 3.0]]))
    np.testing.assert_allclose(found, [8 - 2 * 1.5, (1 - COUNTED_SHARE) * 2.0])


def test_types_of_one_cell_have_no_spread(cells) -> None:
    few = cells[[0, 1, 2, 4]].copy()
    few.obs["type"] = ["a", "b", "a", "b"]
    assert Reference.from_cells(few, "type", "cells").spread is not None
    table = pd.DataFrame(cells.X.toarray()[:2].T + 1.0, columns=["a", "b"])
    assert Reference.from_table(table, "table").spread is None
