"""References: candidate columns found without the counts, and cells or tables read."""

from __future__ import annotations

import gzip

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

import napari_smoother.io.reference as reading
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_file import read_anndata
from napari_smoother.io.reference import cell_type_candidates, label_columns, read_reference


@pytest.fixture
def cells(tmp_path):
    """Write sixty cells with the columns asked for."""

    def write(**columns):
        rng = np.random.default_rng(8)
        adata = anndata.AnnData(
            X=rng.poisson(2.0, size=(60, 5)).astype(np.float32) + 1,
            obs=pd.DataFrame(columns, index=[f"cell{k}" for k in range(60)]),
            var=pd.DataFrame(index=list("ABCDE")),
        )
        adata.write_h5ad(tmp_path / "cells.h5ad")
        return tmp_path / "cells.h5ad"

    return write


def levels(count):
    return [f"level {k % count}" for k in range(60)]


def test_candidates_are_ranked_by_name(cells):
    path = cells(
        donor=levels(4),
        leiden=pd.Categorical(levels(7)),
        cluster_name=levels(9),
        **{"Cell Type": pd.Categorical(levels(5))},
    )
    assert cell_type_candidates(path) == [
        ("Cell Type", 5),
        ("cluster_name", 9),
        ("leiden", 7),
        ("donor", 4),
    ]


def test_columns_that_cannot_be_types_are_no_candidates(cells):
    path = cells(
        barcode=[f"b{k}" for k in range(60)],
        pairs=levels(30),
        assay=["10x"] * 60,
        n_counts=np.arange(60) % 5,
        kind=levels(3),
    )
    assert cell_type_candidates(path) == [("kind", 3)]


def whole(count, dtype=np.int32):
    return (np.arange(60) % count).astype(dtype)


@pytest.mark.parametrize(
    "column",
    [whole(4), whole(4, np.uint8), whole(4, np.float64), pd.Categorical(whole(4)),
     pd.array([None, *whole(4)[1:]], dtype="Int64"),
     np.where(np.arange(60) < 3, np.nan, whole(4))],
)  # fmt: skip
def test_clusters_that_are_numbered_are_candidates(cells, column):
    path = cells(seurat_clusters=column)
    assert cell_type_candidates(path) == [("seurat_clusters", 4)]
    assert read_reference(path, "seurat_clusters").n_types == 4


def test_measurements_and_truths_are_no_candidates(cells):
    path = cells(
        n_genes=whole(5),
        is_class=whole(2, bool),
        cluster=whole(2, bool),
        label=pd.Categorical([None, *whole(2, bool)[1:]]),
        identity=whole(3) + 0.5,
        annotation=pd.array([None, *whole(2, bool)[1:]], dtype="boolean"),
        **{"RNA_snn_res.0.8": whole(6), "orig.ident": whole(3)},
    )
    assert cell_type_candidates(path) == [("RNA_snn_res.0.8", 6)]


def test_every_column_can_be_chosen_candidates_first(cells):
    path = cells(
        n_genes=whole(5),
        score=np.linspace(0, 1, 60),
        cell_type=pd.Categorical(levels(3)),
        assay=["10x"] * 60,
        doublet=whole(2, bool),
        donor=levels(4),
        empty=[np.nan] * 60,
    )
    columns = label_columns(path)
    assert [(each.name, each.levels, each.rank is not None) for each in columns] == [
        ("cell_type", 3, True),
        ("donor", 4, True),
        ("n_genes", 5, False),
        ("score", 60, False),
        ("assay", 1, False),
        ("doublet", 2, False),
        ("empty", 0, False),
    ]
    assert {each.name: each.fault for each in columns if each.fault} == {
        "score": "has another label for each of its 60 cells",
        "assay": "has one label only",
        "empty": "has no label",
    }
    assert read_reference(path, "n_genes").types == ("0", "1", "2", "3", "4")
    assert read_reference(path, "doublet").types == ("False", "True")
    for column, says in (("score", "another label for each"), ("assay", "one label only")):
        with pytest.raises(InputError, match=f'The column "{column}" has {says}') as caught:
            read_reference(path, column)
        assert f'cells.h5ad, obs["{column}"]' in caught.value.where
        assert caught.value.remedy


def test_labels_that_say_nothing_are_no_level(cells):
    values = ["NA", "nan", "", "None", *levels(3)[4:]]
    for column in (values, pd.Categorical(values), pd.array([None, *values[1:]], dtype="string")):
        path = cells(cell_type=column)
        assert cell_type_candidates(path) == [("cell_type", 3)]
        reference = read_reference(path)
        assert reference.types == ("level 0", "level 1", "level 2")
        assert reference.n_dropped == 4


def test_columns_of_another_shape_are_passed_over(cells):
    path = cells(cell_type=levels(3), other=whole(3))
    with h5py.File(path, "a") as file:
        file["obs/deep"] = np.zeros((60, 2))
        file["obs/short"] = np.zeros(7)
        file["obs/one"] = 5
        file["obs/complex"] = np.zeros(60, complex)
        file.create_group("obs/table")
    assert [each.name for each in label_columns(path)] == ["cell_type", "other"]


def test_only_levels_with_cells_count(cells):
    column = pd.Categorical(levels(3), categories=[*sorted(set(levels(3))), "never", "nowhere"])
    path = cells(cell_type=column)
    with h5py.File(path) as file:
        assert len(file["obs/cell_type/categories"]) == 5
    assert cell_type_candidates(path) == [("cell_type", 3)]


def test_candidates_are_read_without_the_counts(cells):
    path = cells(cell_type=levels(3))
    with h5py.File(path, "a") as file:
        del file["X"]
    assert cell_type_candidates(path) == [("cell_type", 3)]


def test_missing_labels_are_no_level(cells):
    path = cells(cell_type=pd.Categorical([*levels(3)[:50], *[np.nan] * 10]))
    assert cell_type_candidates(path) == [("cell_type", 3)]


def test_best_column_is_taken(cells):
    path = cells(donor=levels(4), cell_type=levels(3))
    assert read_reference(path).types == ("level 0", "level 1", "level 2")


def test_chosen_column_is_taken(cells):
    path = cells(donor=levels(4), cell_type=levels(3))
    reference = read_reference(path, "donor")
    assert len(reference.types) == 4
    assert reference.name == "cells"


def test_means_are_those_of_the_cells(cells):
    path = cells(cell_type=levels(3))
    with h5py.File(path) as file:
        counts = file["X"][:].astype(np.float64)
    share = 1e4 * counts / counts.sum(axis=1, keepdims=True)
    truth = np.column_stack([share[k::3].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(read_reference(path).mean_counts, truth, rtol=1e-6)


def test_large_files_stay_on_disk_and_give_the_same(cells, monkeypatch):
    path = cells(cell_type=levels(3))
    small = read_reference(path)
    opened = []

    def watched(file, *, on_disk=False):
        adata = read_anndata(file, on_disk=on_disk)
        opened.append(adata.isbacked)
        return adata

    monkeypatch.setattr(reading, "read_anndata", watched)
    monkeypatch.setattr(reading, "LARGEST_IN_MEMORY", 100)
    large = read_reference(path)
    assert opened == [True]
    np.testing.assert_array_equal(large.mean_counts, small.mean_counts)
    with h5py.File(path, "a"):  # closed: otherwise it could not be opened for writing
        pass


def test_two_equally_good_columns_have_to_be_chosen_from(cells):
    path = cells(donor=levels(4), batch=levels(3))
    with pytest.raises(InputError, match=r"donor \(4 levels\), batch \(3 levels\)") as caught:
        read_reference(path)
    assert "cells.h5ad, obs" in caught.value.where


def test_no_candidate(cells):
    with pytest.raises(InputError, match="looks like cell types"):
        read_reference(cells(n_counts=np.arange(60)))


def test_column_that_is_not_there(cells):
    with pytest.raises(InputError, match="celltype"):
        read_reference(cells(cell_type=levels(3)), "celltype")


def test_text_renamed(tmp_path):
    path = tmp_path / "cells.h5ad"
    path.write_text("not HDF5")
    for read in (read_reference, cell_type_candidates):
        with pytest.raises(InputError, match="not an AnnData file"):
            read(path)


def test_tables_by_every_ending(tmp_path):
    for name in ("a.csv", "a.tsv", "a.txt", "a.csv.gz"):
        text = "gene,B,T\nG1,1,2\nG2,3,0\n"
        if name.endswith(".gz"):
            (tmp_path / name).write_bytes(gzip.compress(text.encode()))
        else:
            (tmp_path / name).write_text(text)
        reference = read_reference(tmp_path / name)
        assert reference.types == ("B", "T")
        assert list(reference.genes) == ["G1", "G2"]
        np.testing.assert_allclose(reference.mean_counts, [[2500, 10000], [7500, 0]])


@pytest.mark.parametrize("name", ["reference.rds", "reference"])
def test_other_endings(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match="are not references"):
        read_reference(tmp_path / name)


@pytest.mark.tissue
def test_real_references(tissue):
    nodes = tissue / "visium_human_lymph_node" / "lymph_node_reference_330cells.h5ad"
    assert cell_type_candidates(nodes) == [("cell_type", 11)]
    reference = read_reference(nodes)
    assert (reference.n_genes, reference.n_types) == (10237, 11)
    cortex = tissue / "osmfish_somatosensory_cortex" / "osmfish_cells.h5ad"
    assert cell_type_candidates(cortex)[0] == ("ClusterName", 32)
    table = tissue / "starmap_visual_cortex" / "starmap_signature_from_same_cells_GPL3.csv"
    assert read_reference(table).n_genes == 882
