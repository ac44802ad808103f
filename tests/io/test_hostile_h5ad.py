"""Files that are damaged, newer than us, or made to harm: refused, or read without a part."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import read_h5ad_section
from napari_smoother.io.h5ad_file import read_anndata, write_h5ad
from napari_smoother.io.reference import read_reference

N_SPOTS, N_GENES = 30, 8
ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}


@pytest.fixture
def path(tmp_path):
    """A file with a little of everything; a section, and a reference too."""
    import anndata

    random = np.random.default_rng(0)
    counts = sparse.csr_matrix(random.poisson(1.0, (N_SPOTS, N_GENES)).astype(np.float32))
    types = pd.Categorical([f"type {row % 3}" for row in range(N_SPOTS)])
    adata = anndata.AnnData(
        X=counts,
        obs=pd.DataFrame(
            {"cell_type": types, "depth": np.arange(N_SPOTS)},
            index=[f"spot {row}" for row in range(N_SPOTS)],
        ),
        var=pd.DataFrame(index=[f"gene {column}" for column in range(N_GENES)]),
        uns={"note": "kept", "deep": {"good": 1, "bad": np.arange(3.0)}},
        obsm={"spatial": random.uniform(0, 100, (N_SPOTS, 2)), "X_pca": np.eye(N_SPOTS, 2)},
        obsp={"graph": sparse.csr_matrix(np.eye(N_SPOTS))},
        layers={"scaled": sparse.csc_matrix(counts * 0.5)},
    )
    adata.raw = adata.copy()
    adata.write_h5ad(tmp_path / "file.h5ad")
    return tmp_path / "file.h5ad"


def replace(file: h5py.File, name: str, value, **attributes) -> None:
    kept = dict(file[name].attrs) | attributes
    del file[name]
    file[name] = value
    file[name].attrs.update(kept)


def spoil_indices(file: h5py.File, group: str, value: int) -> None:
    indices = file[f"{group}/indices"][:]
    indices[3] = value
    file[f"{group}/indices"][:] = indices


@pytest.mark.parametrize("value", [N_GENES, 10**6, -1, 2**31 - 1])
@pytest.mark.parametrize("read", [read_h5ad_section, read_reference])
def test_indices_outside_the_matrix_are_refused(path, read, value):
    with h5py.File(path, "r+") as file:
        spoil_indices(file, "X", value)
    with pytest.raises(InputError, match="X cannot be read: its indices do not fit") as refused:
        read(path)
    assert str(path) in refused.value.where


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("decreasing", lambda starts: starts.__setitem__(2, starts[4] + 1)),
        ("beginning", lambda starts: starts.__setitem__(0, 1)),
        ("end", lambda starts: starts.__setitem__(-1, starts[-1] + 100)),
    ],
)
def test_starts_of_rows_are_checked(path, name, spoil):
    with h5py.File(path, "r+") as file:
        starts = file["X/indptr"][:]
        spoil(starts)
        file["X/indptr"][:] = starts
    with pytest.raises(InputError, match="do not fit its shape"):
        read_h5ad_section(path)


def test_a_matrix_whose_parts_differ_in_length_is_refused(path):
    with h5py.File(path, "r+") as file:
        replace(file, "X/data", file["X/data"][:-1])
    with pytest.raises(InputError, match="do not fit its shape"):
        read_h5ad_section(path)


def test_a_reference_that_stays_on_disk_is_checked_as_well(path):
    with h5py.File(path, "r+") as file:
        spoil_indices(file, "X", 10**6)
    with pytest.raises(InputError, match="do not fit its shape"):
        read_anndata(path, on_disk=True)


def test_on_disk_what_cannot_be_read_is_left_out_too(path):
    with h5py.File(path, "r+") as file:
        file["uns/note"].attrs["encoding-version"] = "9.9.9"
        spoil_indices(file, "raw/X", 10**6)
    with pytest.warns(UserWarning, match=r'uns\["note"\].*raw'):
        adata = read_anndata(path, on_disk=True)
    assert adata.isbacked
    assert adata.raw is None
    assert adata.X[:].shape == (N_SPOTS, N_GENES)
    adata.file.close()


@pytest.mark.parametrize("group", ["raw/X", "layers/scaled", "obsp/graph"])
def test_other_matrices_with_wrong_indices_are_left_out_by_name(path, group):
    with h5py.File(path, "r+") as file:
        spoil_indices(file, group, 10**6)
    with pytest.warns(UserWarning, match="left out.*do not fit its shape") as caught:
        section = read_h5ad_section(path)
    place, name = group.split("/")
    assert place in str(caught[0].message)
    assert section.n_spots == N_SPOTS
    kept = {"raw": section.adata.raw}.get(place, getattr(section.adata, place, ()))
    assert kept is None or name not in kept


def newer(file):
    file["uns/deep/bad"].attrs["encoding-version"] = "9.9.9"


def unknown(file):
    file["uns/deep/bad"].attrs["encoding-type"] = "hologram"


def external_link(file):
    del file["uns/deep/bad"]
    file["uns/deep/bad"] = h5py.ExternalLink("other.h5", "/data")


def soft_link(file):
    del file["uns/deep/bad"]
    file["uns/deep/bad"] = h5py.SoftLink("/")


def external_storage(file):
    secret = file.filename.replace("file.h5ad", "secret.txt")
    with open(secret, "wb") as text:
        text.write(b"SECRET" * 100)
    del file["uns/deep/bad"]
    stored = file.create_dataset(
        "uns/deep/bad", shape=(600,), dtype="u1", external=[(secret, 0, 600)]
    )
    stored.attrs.update(ARRAY)


def virtual(file):
    layout = h5py.VirtualLayout(shape=(100,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "data", shape=(100,))
    del file["uns/deep/bad"]
    file.create_virtual_dataset("uns/deep/bad", layout).attrs.update(ARRAY)


def empty_giant(file):
    del file["uns/deep/bad"]
    giant = file.create_dataset("uns/deep/bad", shape=(2**40,), dtype="f8", chunks=(1024,))
    giant.attrs.update(ARRAY)


def references(file):
    replace(file, "uns/deep/bad", np.array([file.ref] * 3, dtype=h5py.ref_dtype))


def circle(file):
    del file["uns/deep/bad"]
    file["uns/deep/bad"] = file["uns/deep"]


@pytest.mark.parametrize(
    "spoil",
    [
        newer,
        unknown,
        external_link,
        soft_link,
        external_storage,
        virtual,
        empty_giant,
        references,
    ],
)
@pytest.mark.parametrize("read", [read_h5ad_section, read_reference])
def test_an_entry_that_cannot_be_read_is_left_out_by_name(path, read, spoil):
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.warns(UserWarning, match=r'left out.*uns\["deep"\]\["bad"\]') as caught:
        found = read(path)
    assert str(path) in str(caught[0].message)
    if read is read_h5ad_section:
        assert found.adata.uns["deep"] == {"good": 1}
        assert found.adata.uns["note"] == "kept"
        write_h5ad(found.adata, path.with_name("saved.h5ad"))
        assert b"SECRET" not in path.with_name("saved.h5ad").read_bytes()


def test_a_circle_ends(path):
    with h5py.File(path, "r+") as file:
        circle(file)
    with pytest.warns(UserWarning, match="nested"):
        assert read_h5ad_section(path).adata.uns["deep"]["good"] == 1


def test_a_column_that_cannot_be_read_is_left_out_by_name(path):
    with h5py.File(path, "r+") as file:
        file["obs/depth"].attrs["encoding-version"] = "9.9.9"
    with pytest.warns(UserWarning, match=r'obs\["depth"\]'):
        section = read_h5ad_section(path)
    assert list(section.adata.obs) == ["cell_type"]


@pytest.mark.parametrize("shape", [(N_SPOTS + 1, 2), (3,), ()])
def test_an_entry_of_the_wrong_shape_is_left_out_by_name(path, shape):
    with h5py.File(path, "r+") as file:
        replace(file, "obsm/X_pca", np.zeros(shape))
    with pytest.warns(UserWarning, match=r'obsm\["X_pca"\]'):
        assert "X_pca" not in read_h5ad_section(path).adata.obsm


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file["X"].attrs.__setitem__("shape", [2**40, 2**40]),
        lambda file: file["X"].attrs.__setitem__("shape", "wide"),
        lambda file: file["X"].attrs.__setitem__("encoding-type", "hologram"),
        lambda file: file["obs"].attrs.__delitem__("_index"),
        lambda file: file["obs"].attrs.__setitem__("_index", "/X"),
        lambda file: file["var"].attrs.__setitem__("column-order", 5),
        lambda file: replace(file, "obs/_index", np.zeros((N_SPOTS, 2))),
        lambda file: replace(file, "X/data", np.zeros(file["X/data"].shape, "V5")),
        lambda file: file.__delitem__("X/indices"),
        lambda file: replace(file, "X", h5py.Empty("f4")),
        lambda file: replace(file, "obsm", np.zeros(3)),
        lambda file: file["obs/cell_type/codes"].write_direct(
            np.full(N_SPOTS, 100, dtype=np.int8)
        ),
    ],
)
@pytest.mark.parametrize("read", [read_h5ad_section, read_reference])
def test_any_other_damage_is_our_own_error_or_is_told(path, read, spoil):
    with h5py.File(path, "r+") as file:
        spoil(file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            read(path)
            said = " ".join(str(warning.message) for warning in caught)
        except InputError as refused:
            said = refused.where
    assert str(path) in said


def test_a_chunked_matrix_that_is_not_in_the_file_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["X/data"]
        file.create_dataset("X/data", shape=(2**33,), dtype="f4", chunks=(1024,))
    with pytest.raises(InputError, match=r"claims to be 34\.4 GB"):
        read_h5ad_section(path)


def test_a_heap_that_would_be_read_for_ever_is_refused(path):
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 64 : heap + 256] = bytes(192)
    path.write_bytes(content)
    for read in (read_h5ad_section, read_reference):
        with pytest.raises(InputError, match="overwritten"):
            read(path)


def test_letters_of_a_heap_in_data_are_no_heap(path):
    import anndata

    adata = anndata.read_h5ad(path)
    adata.uns["letters"] = np.frombuffer(b"GCOL" + bytes(60) + b"GCOL\1\0\0\0" + bytes(60), "u1")
    adata.write_h5ad(path)
    assert read_h5ad_section(path).n_spots == N_SPOTS


@pytest.mark.parametrize("group", ["uns", "obsm", "layers", "raw"])
def test_an_array_where_a_group_should_be_is_left_out_by_name(path, group):
    with h5py.File(path, "r+") as file:
        del file[group]
        file.create_dataset(group, shape=(2**29,), dtype="f8", chunks=(2**20,), compression="gzip")
    with pytest.warns(UserWarning, match=f"{group} .*not a group"):
        read_reference(path)


def test_numbers_of_the_other_byte_order_are_read(path):
    with h5py.File(path, "r+") as file:
        replace(file, "obs/depth", np.arange(N_SPOTS, dtype=">f8"))
        replace(file, "X/data", file["X/data"][:].astype(">f4"))
    section = read_h5ad_section(path)
    assert section.adata.obs["depth"].sum() == N_SPOTS * (N_SPOTS - 1) / 2
    assert section.adata.X.dtype == np.float32


@pytest.mark.parametrize("name", ["obs/depth", "var/gene"])
def test_a_column_that_is_not_in_the_file_refuses_it(path, name):
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file[name] = h5py.ExternalLink("other.h5", "/data")
    for read in (read_h5ad_section, read_reference):
        with pytest.raises(InputError, match=r"other\.h5, which is not opened"):
            read(path)
