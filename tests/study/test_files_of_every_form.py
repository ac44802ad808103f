"""However a file keeps its counts, window and library find the same, or refuse the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import napari_smoother
from napari_smoother.errors import InputError
from napari_smoother.io import reference as reading
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.study.annotated import annotated
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMS = ("x", "raw", "layer", "log1p", "log2", "float16", "csc", "backed")


def in_form(plain: ad.AnnData, form: str) -> ad.AnnData:
    counts = plain.X.toarray()
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    logged = np.log1p(counts * (1e4 / totals)).astype(np.float32)
    adata = plain.copy()
    if form == "raw":
        adata.raw = plain
        adata.X = logged
    elif form == "layer":
        adata.layers["raw_counts"] = plain.X
        adata.X = logged - logged.mean(axis=0)
    elif form == "log1p":
        adata.X = sparse.csr_matrix(logged)
    elif form == "log2":
        adata.X = logged / np.float32(np.log(2))
    elif form == "scaled":
        adata.X = logged - logged.mean(axis=0)
    elif form == "float16":
        adata.X = counts.astype(np.float16)
    elif form == "csc":
        adata.X = sparse.csc_matrix(plain.X)
    return adata


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("forms")
    sample = simulate_tumour(rows=16, n_genes=120, seed=6, image_size=400)
    for adata in (sample.section.adata, sample.reference):
        adata.X.data = np.minimum(adata.X.data, 2048)  # all whole numbers that float16 holds
    for form in (*FORMS, "scaled"):
        in_form(sample.section.adata, form).write_h5ad(folder / f"section_{form}.h5ad")
        in_form(sample.reference, form).write_h5ad(folder / f"cells_{form}.h5ad")
    return folder


def by_window(files: Path, section: str, cells: str) -> NDArray[np.floating]:
    study = Study()
    study.open(open_section(files / f"section_{section}.h5ad"))
    study.set_reference(read_reference(files / f"cells_{cells}.h5ad", "cell_type"))
    study.update()
    assert study.composition is not None
    return study.composition.proportions


def by_library(files: Path, section: str, cells: str) -> NDArray[np.floating]:
    def read(name: str) -> Any:
        backed = "r" if name.endswith("backed.h5ad") else None
        return ad.read_h5ad(files / name, backed=backed)

    cell_data = read(f"cells_{cells}.h5ad")
    adata = read(f"section_{section}.h5ad")
    napari_smoother.deconvolve(adata, cell_data)
    return adata.obsm["nnls"].to_numpy()


@pytest.fixture(scope="module")
def plain(files: Path) -> NDArray[np.floating]:
    return by_library(files, "x", "x")


@pytest.mark.parametrize("section", FORMS)
@pytest.mark.parametrize("cells", FORMS)
def test_same_composition(
    files: Path,
    plain: NDArray[np.floating],
    section: str,
    cells: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if cells == "backed":
        monkeypatch.setattr(reading, "LARGEST_IN_MEMORY", 0)
    np.testing.assert_allclose(by_library(files, section, cells), plain, atol=1e-6)
    np.testing.assert_allclose(by_window(files, section, cells), plain, atol=1e-6)


@pytest.mark.parametrize("find", [by_window, by_library])
@pytest.mark.parametrize(("section", "cells"), [("scaled", "x"), ("x", "scaled")])
def test_same_refusal(files: Path, find: Any, section: str, cells: str) -> None:
    with pytest.raises(InputError, match=r"No counts were found: X has \d+ negative values"):
        find(files, section, cells)


def test_models_of_counts_refuse_normalised_values(files: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(files / "section_x.h5ad")
    adata.X = adata.X.toarray() * np.random.default_rng(0).uniform(20, 30, adata.shape)
    adata.write_h5ad(tmp_path / "normalised.h5ad")
    cells = read_reference(files / "cells_x.h5ad", "cell_type")
    study = Study()
    with pytest.warns(UserWarning, match="holds no whole-number counts"):
        study.open(open_section(tmp_path / "normalised.h5ad"))
    study.set_reference(cells)
    study.update()
    with pytest.warns(UserWarning, match="holds no whole-number counts"):
        napari_smoother.deconvolve(adata, cells)
    assert study.composition is not None
    np.testing.assert_allclose(
        study.composition.proportions, adata.obsm["nnls"].to_numpy(), atol=1e-6
    )
    assert adata.uns["smoother"]["nnls"]["recipe"]["counts"].startswith("no counts: normalised")
    said = annotated(study).uns["smoother"]
    assert said["section"]["counts"].startswith("no counts: normalised values of X")
    assert said["nnls"]["recipe"]["reference_counts"] == "counts from X"
    study.deconvolution = study.deconvolution.with_model("poisson")
    with pytest.raises(InputError, match="Poisson regression is a model of counts"):
        study.update()
    with (
        pytest.warns(UserWarning, match="holds no whole-number"),
        pytest.raises(InputError, match="Poisson regression is a model of counts"),
    ):
        napari_smoother.deconvolve(adata, cells, model="poisson")


def test_the_place_of_the_counts_can_be_chosen(files: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(files / "section_x.h5ad")
    adata.layers["half"] = (adata.X / 2).floor()
    adata.write_h5ad(tmp_path / "two.h5ad")
    section = open_section(tmp_path / "two.h5ad")
    assert section.origin.places == ("X", 'layers["half"]')
    chosen = open_section(tmp_path / "two.h5ad", counts='layers["half"]')
    np.testing.assert_array_equal(chosen.adata.X.toarray(), adata.layers["half"].toarray())
    assert chosen.origin.describe() == 'counts from layers["half"]'
    np.testing.assert_array_equal(chosen.adata.layers["X"].toarray(), adata.X.toarray())
