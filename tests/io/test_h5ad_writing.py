"""What is written to an .h5ad file comes back, and what cannot be is left out by name."""

from __future__ import annotations

import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_file import read_anndata, write_h5ad

ODD = (
    "/X",
    "/obs",
    "/uns",
    "../../X",
    "T/NK",
    "T",
    "T/NK/x",
    "T∕NK",
    ".",
    "..",
    " ",
    " a ",
    "_index",
    "index",
    "a\0b",
    "\udc80",
    "\ud800",
    "",
    "=cmd|' /C calc'!A0",
    "日本",
)


def spots(n: int = 4, **content) -> anndata.AnnData:
    return anndata.AnnData(
        X=np.arange(3.0 * n, dtype=np.float32).reshape(n, 3),
        obs=pd.DataFrame(index=[f"spot {row}" for row in range(n)]),
        var=pd.DataFrame(index=["A", "B/C", "/X"]),
        **content,
    )


def written(adata: anndata.AnnData, path) -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        write_h5ad(adata, path)
    return read_anndata(path)


def test_odd_names_of_columns_come_back_in_order(tmp_path):
    values = np.arange(4.0 * len(ODD)).reshape(4, len(ODD))
    adata = spots()
    adata.obsm["nnls"] = pd.DataFrame(values, index=adata.obs_names, columns=list(ODD))
    adata.uns["grid"] = pd.DataFrame({"/X": [1.0, 2.0]})
    adata.obs["own/column"] = [1, 2, 3, 4]
    again = written(adata, tmp_path / "a.h5ad")
    assert list(again.obsm["nnls"].columns) == list(ODD)
    np.testing.assert_array_equal(again.obsm["nnls"].to_numpy(), values)
    assert list(again.uns["grid"].columns) == ["/X"]
    assert again.obs["own/column"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(again.X, adata.X)
    assert list(again.var_names) == ["A", "B/C", "/X"]
    assert "smoother" not in adata.uns
    assert list(adata.obsm["nnls"].columns) == list(ODD)


def test_odd_names_can_be_read_by_anndata_alone(tmp_path):
    adata = spots()
    adata.obsm["nnls"] = pd.DataFrame(
        np.eye(4, 3), index=adata.obs_names, columns=["T/NK", "T", "/X"]
    )
    write_h5ad(adata, tmp_path / "a.h5ad")
    plain = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert list(plain.obsm["nnls"].columns) == ["T∕NK", "T", "∕X"]
    np.testing.assert_array_equal(plain.X, adata.X)
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert set(file) == {
            "X", "layers", "obs", "obsm", "obsp", "uns", "var", "varm", "varp"
        }  # fmt: skip


def test_odd_texts_come_back(tmp_path):
    adata = spots()
    adata.obs["region"] = pd.Categorical(["a\0b", "/X", "\udc80", " "])
    adata.obs["text"] = pd.Series(["\ud800", "", "/", "x"], index=adata.obs_names, dtype=object)
    adata.uns["smoother"] = {"regions": {"names": ["a\0b", "/X"]}, "gene": "\0", "mine": 1}
    again = written(adata, tmp_path / "a.h5ad")
    assert again.obs["region"].tolist() == ["a\0b", "/X", "\udc80", " "]
    assert again.obs["text"].tolist() == ["\ud800", "", "/", "x"]
    assert list(again.uns["smoother"]["regions"]["names"]) == ["a\0b", "/X"]
    assert again.uns["smoother"]["gene"] == "\0"
    assert set(again.uns["smoother"]) == {"regions", "gene", "mine"}


def test_odd_keys_come_back(tmp_path):
    adata = spots(uns={"a/b": {"/": 1, ".": 2}, "a": {"b": 3}})
    adata.obsm["T/NK"] = np.eye(4)
    again = written(adata, tmp_path / "a.h5ad")
    assert again.uns["a/b"] == {"/": 1, ".": 2}
    assert again.uns["a"] == {"b": 3}
    np.testing.assert_array_equal(again.obsm["T/NK"], np.eye(4))


def test_a_column_called_index_of_raw_is_carried_over(tmp_path):
    adata = spots()
    adata.raw = adata.copy()
    adata.raw.var["_index"] = ["a", "b", "c"]
    again = written(adata, tmp_path / "a.h5ad")
    assert again.raw.var["_index"].tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(again.raw.X, adata.X)


@pytest.mark.parametrize(
    "column",
    [
        pd.array(["a", None, "b", "a"], dtype="string"),
        pd.Series(["a", None, "b", np.nan], dtype=object).array,
        pd.array([True, None, False, True], dtype="boolean"),
        pd.array([1, None, 2, 3], dtype="Int64"),
        pd.Categorical(["a", None, "b", "a"]),
    ],
)
def test_columns_with_missing_values_are_carried_over(tmp_path, column):
    adata = spots()
    adata.obs["column"] = pd.Series(column, index=adata.obs_names)
    again = written(adata, tmp_path / "a.h5ad")
    found = again.obs["column"]
    assert found.isna().tolist() == pd.isna(column).tolist()
    assert found.dropna().tolist() == pd.Series(column).dropna().tolist()


def test_what_cannot_be_written_is_left_out_by_name(tmp_path):
    adata = spots(uns={"bad": object(), "good": 1, "deep": {"worse": {1, 2}, "fine": (1, 2)}})
    adata.uns["nothing"] = None
    adata.obs["mixed"] = pd.Series(["a", 1.5, "b", 2], index=adata.obs_names, dtype=object)
    adata.obs["kept"] = [1, 2, 3, 4]
    path = tmp_path / "a.h5ad"
    with pytest.warns(UserWarning, match="left out") as caught:
        write_h5ad(adata, path)
    told = " ".join(str(warning.message) for warning in caught)
    for place in ('obs["mixed"]', 'uns["bad"]', 'uns["deep"]["worse"]', str(path)):
        assert place in told
    again = read_anndata(path)
    assert list(again.obs) == ["kept"]
    assert again.uns["good"] == 1
    assert list(again.uns["deep"]["fine"]) == [1, 2]
    assert again.uns.get("nothing") is None


def test_matrices_of_every_kind_come_back(tmp_path):
    adata = spots()
    adata.X = sparse.csr_matrix(adata.X)
    adata.layers["csc"] = sparse.csc_matrix(adata.X)
    adata.layers["dense"] = adata.X.toarray()
    adata.obsp["graph"] = sparse.csr_matrix(np.eye(4))
    adata.varm["loadings"] = np.ones((3, 2))
    adata.raw = adata[:, :2].copy()
    again = written(adata, tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.X.toarray(), adata.X.toarray())
    assert again.layers["csc"].format == "csc"
    assert (again.obsp["graph"] != adata.obsp["graph"]).nnz == 0
    np.testing.assert_array_equal(again.varm["loadings"], np.ones((3, 2)))
    np.testing.assert_array_equal(again.raw.X.toarray(), adata.X.toarray()[:, :2])


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.h5ad"
    write_h5ad(spots(), path)
    before = path.read_bytes()
    adata = spots()
    adata.X = np.array([[object()] * 3] * 4, dtype=object)
    with pytest.raises(InputError, match="X cannot be written"):
        write_h5ad(adata, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_of_names_that_is_none_is_not_followed(tmp_path):
    for text in ("", "[", "{}", '[{"place": ["obsm"]}]', '[{"place": ["file"], "kind": "keys"}]'):
        adata = spots(uns={"smoother": {"names": text, "mine": 1}})
        adata.write_h5ad(tmp_path / "a.h5ad")
        assert read_anndata(tmp_path / "a.h5ad").uns["smoother"] == {"mine": 1}
