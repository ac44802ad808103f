"""Where counts are found: by what stands there, not by its name alone."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.counts.finding import find_counts
from napari_smoother.counts.logarithm import restore_counts
from napari_smoother.errors import InputError

SINGLE = float(np.finfo(np.float32).eps)


@pytest.fixture
def counts():
    random = np.random.default_rng(0)
    return random.poisson(random.gamma(0.5, 4, (60, 40))).astype(np.float32)


def normalised(counts, total=1e4):
    return counts * (total / counts.sum(axis=1, keepdims=True))


def logged(counts, base=np.e, total=1e4):
    return (np.log1p(normalised(counts, total)) / np.float32(np.log(base))).astype(np.float32)


def annotated(x=None, **layers):
    shape = next(iter(layers.values())).shape if x is None else x.shape
    adata = ad.AnnData(
        X=x,
        obs=pd.DataFrame(index=[f"spot{i}" for i in range(shape[0])]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(shape[1])]),
    )
    for name, layer in layers.items():
        adata.layers[name] = layer
    return adata


def quietly(adata, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return find_counts(adata, where="test", **options)


def half(values):
    """In half precision, which scipy makes no matrices of, but our reader and anndata do."""
    if not sparse.issparse(values):
        return values.astype(np.float16)
    values = values.copy()
    values.data = values.data.astype(np.float16)
    return values


def dense(found):
    return np.vstack([chunk.toarray() for chunk in found.chunks(7)])


@pytest.mark.parametrize("name", ["counts", "raw_counts", "Raw.Counts", "umi", "X_counts", "raw"])
def test_layers_that_say_counts(counts, name) -> None:
    scaled = logged(counts) - logged(counts).mean(axis=0)
    found = quietly(annotated(scaled, other=np.abs(scaled), **{name: counts}))
    assert found.origin.place == f'layers["{name}"]'
    np.testing.assert_array_equal(dense(found), counts)


@pytest.mark.parametrize("made", [np.sign, lambda counts: np.round(normalised(counts))])
def test_whole_numbers_in_x_that_are_no_counts(counts, made) -> None:
    found = quietly(annotated(made(counts), counts=counts))
    assert found.origin.place == 'layers["counts"]'
    np.testing.assert_array_equal(dense(found), counts)


def test_a_name_alone_makes_no_counts(counts) -> None:
    """scanpy#2389: layers["counts"] is an alias of X, normalised in place; raw is whole."""
    adata = annotated(logged(counts), counts=logged(counts))
    adata.raw = annotated(counts)
    found = quietly(adata)
    assert found.origin.describe() == "counts from raw.X"
    np.testing.assert_array_equal(dense(found), counts)


def test_counts_under_any_name_where_they_fit_x(counts) -> None:
    found = quietly(annotated(logged(counts), measured=sparse.csr_matrix(counts)))
    assert found.origin.place == 'layers["measured"]'
    partly = np.floor(counts * 0.4)
    found = quietly(annotated(logged(counts), measured=partly))
    assert found.origin.describe() == "counts from X, log1p undone"
    np.testing.assert_array_equal(dense(found), counts)


def test_a_part_of_the_counts_is_not_the_counts(counts) -> None:
    scaled = logged(counts) - 5
    with pytest.raises(InputError, match=r"X has \d+ negative values"):
        find_counts(annotated(scaled, spliced=counts), where="test")


@pytest.mark.parametrize("base", [np.e, 2.0, 10.0])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logarithms_are_undone(counts, base, form, dtype) -> None:
    values = form(logged(counts, base).astype(np.promote_types(dtype, np.float32)))
    if dtype == np.float16:
        values = half(values)
    found = quietly(annotated(values))
    assert found.matrix.dtype == dtype
    assert found.origin.kind == "restored"
    assert found.origin.base == base
    np.testing.assert_array_equal(dense(found), counts)
    read = found.read()
    np.testing.assert_array_equal(read.toarray(), counts)
    assert found.matrix.dtype == dtype  # what was given stays what it is


def test_the_factor_of_every_cell_is_its_own(counts) -> None:
    factors = np.random.default_rng(1).gamma(2, 1, (len(counts), 1)).astype(np.float32)
    found = quietly(annotated(np.log1p(counts * factors)))
    np.testing.assert_array_equal(dense(found), counts)


def test_a_cell_in_which_no_gene_was_counted_once(counts) -> None:
    counts[3] = 0
    counts[3, :4] = [2, 3, 5, 9]
    counts[8] = 0
    values = np.log1p(counts * np.linspace(0.2, 3, len(counts), dtype=np.float32)[:, None])
    found = quietly(annotated(values))
    np.testing.assert_array_equal(dense(found), counts)


def test_values_that_come_from_no_counts_are_not_restored(counts) -> None:
    random = np.random.default_rng(2)
    rows = sparse.csr_matrix(np.log1p(counts * random.gamma(5, 1, counts.shape)))
    restored = restore_counts(rows.astype(np.float64), np.e, SINGLE)
    assert restored.evidence < 20
    assert restored.whole.mean() < 0.1


@pytest.mark.parametrize("base", [np.e, 2.0])
def test_totals_tell_a_logarithm_of_what_is_not_counted(counts, base) -> None:
    """Transcripts per million: lengths of genes divide the counts, and totals are equal."""
    lengths = np.random.default_rng(4).uniform(0.3, 8, counts.shape[1])
    rates = normalised(counts / lengths, 1e6)
    adata = annotated(np.log1p(rates) / np.log(base))
    with pytest.warns(UserWarning, match="holds no whole-number counts"):
        found = find_counts(adata, where="test")
    assert found.origin.kind == "normalised"
    assert found.origin.base == base
    np.testing.assert_allclose(dense(found), rates, rtol=1e-4)


def test_linear_values_stay_as_they_are(counts) -> None:
    linear = normalised(counts)
    with pytest.warns(UserWarning, match="are read as they are"):
        found = find_counts(annotated(linear), where="test")
    assert found.origin.describe() == "no counts: normalised values of X"
    np.testing.assert_allclose(dense(found), linear)


def test_an_empty_matrix_is_passed_over(counts) -> None:
    found = quietly(annotated(np.zeros_like(counts), counts=counts))
    assert found.origin.place == 'layers["counts"]'
    nothing = quietly(annotated(np.zeros_like(counts)))
    assert nothing.origin.place == "X"


def test_antibodies_are_no_genes(counts) -> None:
    adata = annotated(counts)
    adata.var["Feature_Type"] = ["Gene Expression"] * 30 + ["Antibody Capture"] * 10
    with pytest.warns(UserWarning, match="Of test, .* left out: 10 Antibody Capture"):
        found = find_counts(adata, where="test")
    assert found.left_out == (("Antibody Capture", 10),)
    assert list(found.var.index) == list(adata.var_names[:30])
    np.testing.assert_array_equal(dense(found), counts[:, :30])
    np.testing.assert_array_equal(dense(quietly(adata, all_features=True)), counts)
    # Their values may be of another scale.
    adata.X = np.concatenate([logged(counts[:, :30]), counts[:, 30:] - 3.5], axis=1)
    with pytest.warns(UserWarning, match="left out"):
        found = find_counts(adata, where="test")
    assert found.origin.kind == "restored"
    np.testing.assert_array_equal(dense(found), counts[:, :30])


def test_a_place_can_be_chosen(counts) -> None:
    adata = annotated(counts, smaller=np.floor(counts / 2))
    adata.raw = annotated(counts + 1)
    np.testing.assert_array_equal(dense(quietly(adata, layer="smaller")), np.floor(counts / 2))
    np.testing.assert_array_equal(dense(quietly(adata, layer="raw")), counts + 1)
    np.testing.assert_array_equal(dense(quietly(adata, layer="X")), counts)
    with pytest.raises(InputError, match=r'no layer "umi"; there are: X, .*smaller.*, raw.X'):
        find_counts(adata, where="test", layer="umi")


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_counts_stay_in_the_file(counts, tmp_path, form) -> None:
    values = logged(counts)
    x = values if form == "dense" else sparse.csr_matrix(values).asformat(form)
    annotated(x).write_h5ad(tmp_path / "backed.h5ad")
    backed = ad.read_h5ad(tmp_path / "backed.h5ad", backed="r")
    np.testing.assert_array_equal(dense(quietly(backed)), counts)
    backed.file.close()


def test_rows_that_do_not_fit_are_told(counts) -> None:
    many = np.vstack([counts] * 12)
    values = logged(many)
    values[77] *= np.random.default_rng(5).uniform(0.5, 2, 40)
    found = quietly(annotated(values))
    with pytest.warns(UserWarning, match="1 of 720 rows of X are not whole"):
        read = found.read().toarray()
    kept = np.arange(720) != 77
    np.testing.assert_array_equal(read[kept], many[kept])


@pytest.mark.parametrize(
    ("bad", "says"), [(np.nan, "missing or infinite"), (np.inf, "infinite"), (-1, "negative")]
)
def test_what_is_wrong_is_said(counts, bad, says) -> None:
    values = logged(counts)
    values[2, 3] = bad
    with pytest.raises(InputError, match=says):
        find_counts(annotated(values), where="test")
    found = quietly(annotated(values, counts=counts))
    assert found.origin.place == 'layers["counts"]'
