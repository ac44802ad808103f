"""Saving over the file that was opened loses nothing that was in it."""

from __future__ import annotations

import json
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import read_h5ad_section, write_h5ad
from napari_smoother.io.opening import open_section
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.study.annotated import annotate, findings_of
from napari_smoother.study.study import Study

N_SPOTS, N_GENES = 64, 12


def section_file(path, change=lambda adata: None):
    random = np.random.default_rng(1)
    counts = random.poisson(2.0, (N_SPOTS, N_GENES)).astype(np.float32)
    row, column = np.divmod(np.arange(N_SPOTS), 8)
    adata = anndata.AnnData(
        X=sparse.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"spot {number}" for number in range(N_SPOTS)]),
        var=pd.DataFrame(index=[f"gene {number}" for number in range(N_GENES)]),
        obsm={"spatial": np.column_stack([100.0 * column, 100.0 * row])},
        uns={"note": "kept"},
    )
    change(adata)
    adata.write_h5ad(path)
    return anndata.read_h5ad(path)


def study_of(path, types=("a", "b"), library=None, region="corner") -> Study:
    study = Study()
    study.open(open_section(path, library=library))
    genes = study.section.adata.var_names
    signatures = np.random.default_rng(2).uniform(0, 5, (len(genes), len(types)))
    table = pd.DataFrame(signatures, index=genes, columns=list(types))
    study.set_reference(Reference.from_table(table, "table"))
    square = np.array([[-1.0, -1.0], [350.0, -1.0], [350.0, 350.0], [-1.0, 350.0]])
    study.regions = Regions(
        (RegionClass(region, (1.0, 0.0, 0.0)),), (RegionShape(region, square),)
    )
    study.update()
    return study


def save(study, path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        write_h5ad(annotate(findings_of(study)), path)
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


def same(one, other) -> bool:
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if sparse.issparse(one):
        return one.format == other.format and (one != other).nnz == 0
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    return np.array_equal(one, other)


def check_nothing_lost(before, after) -> None:
    assert before.obs_names.equals(after.obs_names)
    assert before.var.equals(after.var)
    assert same(before.X, after.X)
    assert after.obs[list(before.obs)].equals(before.obs)
    for place in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        for key, value in getattr(before, place).items():
            if key != "smoother":
                assert same(value, getattr(after, place)[key]), (place, key)
    if before.raw is not None:
        assert same(before.raw.X, after.raw.X)
        assert before.raw.var.equals(after.raw.var)


def out_of_tissue(adata):
    adata.obs["in_tissue"] = (np.arange(N_SPOTS) % 3 > 0).astype(int)


def two_libraries(adata):
    adata.obs["library_id"] = pd.Categorical(np.where(np.arange(N_SPOTS) % 2, "A", "B"))
    library = {"images": {}, "scalefactors": {"spot_diameter_fullres": 50.0}}
    adata.uns["spatial"] = {"A": library, "B": library}


def everything(adata):
    adata.raw = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.layers["X"] = adata.X * 2
    adata.X = adata.X * 0.5
    adata.varm["PCs"] = np.ones((N_GENES, 2))
    adata.obsm["X_pca"] = np.ones((N_SPOTS, 2))
    adata.obsp["distances"] = sparse.csr_matrix(np.eye(N_SPOTS))
    adata.varp["of genes"] = np.eye(N_GENES)
    adata.obs["cluster"] = pd.Categorical(["x", "y"] * (N_SPOTS // 2))


def our_keys(adata):
    adata.obs["region"] = pd.Categorical(["mine"] * N_SPOTS)
    adata.obsp["spatial_connectivities"] = sparse.csr_matrix(np.eye(N_SPOTS))
    adata.obsm["nnls"] = np.zeros((N_SPOTS, 3))
    adata.uns["smoother"] = {"mine": 1}


def same_names(adata):
    adata.var_names = ["same"] * 3 + list(adata.var_names[3:])
    adata.obs_names = ["same"] * 3 + list(adata.obs_names[3:])


@pytest.mark.parametrize(
    ("change", "library"),
    [
        (lambda adata: None, None),
        (out_of_tissue, None),
        (two_libraries, "A"),
        (everything, None),
        (our_keys, None),
        (same_names, None),
    ],
)
def test_everything_that_was_there_still_is(tmp_path, change, library):
    path = tmp_path / "section.h5ad"
    before = section_file(path, change)
    study = study_of(path, library=library)
    save(study, path)
    after = anndata.read_h5ad(path)
    check_nothing_lost(before, after)
    assert list(tmp_path.iterdir()) == [path]
    # Results are with the spots they belong to, and the others have none.
    key = "nnls_smoother" if change is our_keys else "nnls"
    opened = np.zeros(N_SPOTS, dtype=bool)
    opened[:] = True
    if change is out_of_tissue:
        opened = before.obs["in_tissue"].to_numpy() == 1
    if change is two_libraries:
        opened = (before.obs["library_id"] == "A").to_numpy()
    found = after.obsm[key].to_numpy()
    np.testing.assert_array_equal(found[opened], study.composition.proportions)
    assert np.isnan(found[~opened]).all()
    graph = "spatial_connectivities" + ("_smoother" if change is our_keys else "")
    weights = after.obsp[graph]
    assert (weights[opened][:, opened] != study.graph.weights).nnz == 0
    assert weights.sum() == study.graph.weights.sum()
    region = after.obs["region_smoother" if change is our_keys else "region"]
    inside = np.all(before.obsm["spatial"] < 350, axis=1)
    assert ((region == "corner").to_numpy() == (inside & opened)).all()


def test_what_is_not_ours_stays_and_ours_is_told(tmp_path):
    path = tmp_path / "section.h5ad"
    section_file(path, our_keys)
    (told,) = save(study_of(path), path)
    for place in ('obs["region', 'obsp["spatial_connectivities', 'obsm["nnls'):
        assert f'{place}_smoother"] ({place}"] was there before)' in told
    assert anndata.read_h5ad(path).uns["smoother"]["mine"] == 1


def test_what_is_ours_is_replaced_and_the_file_does_not_grow(tmp_path):
    path = tmp_path / "section.h5ad"
    before = section_file(path, our_keys)
    save(study_of(path, types=("a", "b", "c")), path)
    once = path.stat().st_size
    for _ in range(3):
        save(study_of(path, region="edge"), path)
    after = anndata.read_h5ad(path)
    check_nothing_lost(before, after)
    assert set(after.obsm) == {"spatial", "nnls", "nnls_smoother", "nnls_abundance"}
    assert list(after.obs) == ["region", "region_smoother"]
    assert list(after.obs["region_smoother"].cat.categories) == ["edge"]
    assert list(after.obsm["nnls_smoother"].columns) == ["a", "b"]
    assert path.stat().st_size < 1.2 * once


def test_a_note_of_somebody_else_where_reports_stand_is_moved(tmp_path):
    path = tmp_path / "section.h5ad"
    section_file(path, lambda adata: adata.uns.__setitem__("smoother", "a note"))
    save(study_of(path), path)
    after = anndata.read_h5ad(path)
    assert after.uns["smoother_before"] == "a note"
    assert after.uns["smoother"]["nnls"]["recipe"]["model"] == "nnls"


@pytest.mark.parametrize("over", [True, False])
def test_odd_names_of_types_and_regions_come_back(tmp_path, over):
    path = tmp_path / "section.h5ad"
    before = section_file(path)
    types = ("/X", "T", "T/NK", "..", " ", "_index", "a\0b", "\udc80")
    target = path if over else tmp_path / "saved.h5ad"
    for _ in range(2):  # the record of names outlives another save
        study = study_of(path, types=types, region="/X \0")
        save(study, target)
        path = target
    check_nothing_lost(before, anndata.read_h5ad(target))
    again = read_h5ad_section(target).adata
    assert tuple(again.obsm["nnls"].columns) == study.composition.types
    np.testing.assert_array_equal(again.obsm["nnls"].to_numpy(), study.composition.proportions)
    assert list(again.obs["region"].cat.categories) == ["/X \0"]
    regions = json.loads(again.uns["smoother"]["session"]["recipe"])["regions"]
    assert [each["name"] for each in regions["classes"]] == ["/X \0"]
    assert regions["shapes"][0]["region"] == "/X \0"


def test_entries_that_were_left_out_on_opening_are_kept(tmp_path):
    path = tmp_path / "section.h5ad"
    section_file(path, everything)
    with h5py.File(path, "r+") as file:
        file["uns/note"].attrs["encoding-version"] = "9.9.9"
        file["uns/elsewhere"] = h5py.ExternalLink("other.h5", "/data")
    with pytest.warns(UserWarning, match="left out"):
        study = study_of(path)
    save(study, path)
    with h5py.File(path) as file:
        assert file["uns/note"].asstr()[()] == "kept"
        assert file["uns/note"].attrs["encoding-version"] == "9.9.9"
        assert file["uns"].get("elsewhere", getlink=True).filename == "other.h5"
        assert "nnls" in file["obsm"]


def test_spots_that_cannot_be_told_apart_are_refused(tmp_path):
    path = tmp_path / "section.h5ad"

    def change(adata):
        same_names(adata)
        out_of_tissue(adata)

    section_file(path, change)
    content = path.read_bytes()
    study = study_of(path)
    with pytest.raises(InputError, match=r"cannot be told which spots.*another file name"):
        save(study, path)
    assert path.read_bytes() == content
    save(study, tmp_path / "other.h5ad")
    assert anndata.read_h5ad(tmp_path / "other.h5ad").n_obs == study.section.n_spots


def test_a_file_that_was_changed_meanwhile_is_refused(tmp_path):
    path = tmp_path / "section.h5ad"
    section_file(path)
    study = study_of(path)
    section_file(path, lambda adata: setattr(adata, "obs_names", adata.obs_names + " other"))
    with pytest.raises(InputError, match="another file name"):
        save(study, path)


def test_the_link_to_the_file_stays_one(tmp_path):
    path, link = tmp_path / "section.h5ad", tmp_path / "link.h5ad"
    before = section_file(path, out_of_tissue)
    link.symlink_to(path)
    save(study_of(path), link)
    assert link.is_symlink()
    check_nothing_lost(before, anndata.read_h5ad(path))
    assert "nnls" in anndata.read_h5ad(path).obsm


def test_what_was_written_since_the_file_was_opened_stays(tmp_path):
    path = tmp_path / "section.h5ad"
    section_file(path)
    study = study_of(path)
    save(study, path)
    save(study, path)  # ours, though not in memory
    changed = anndata.read_h5ad(path)
    changed.obs["mine"] = np.arange(N_SPOTS)
    del changed.uns["smoother"]
    changed.obs["region"] = "mine"
    changed.write_h5ad(path)
    told = save(study, path)
    assert 'obs["region_smoother"]' in " ".join(told)
    after = anndata.read_h5ad(path)
    assert (after.obs["region"] == "mine").all()
    assert after.obs["mine"].tolist() == list(range(N_SPOTS))
    assert list(after.obs["region_smoother"].cat.categories) == ["corner"]


def test_reports_of_an_earlier_save_stay_with_their_results(tmp_path):
    path = tmp_path / "section.h5ad"
    section_file(path)
    study = study_of(path)
    save(study, path)
    study.regions = Regions()
    study.update()
    save(study, path)
    after = anndata.read_h5ad(path)
    assert "region" in after.obs
    assert "region" in after.uns["smoother"]["written"]["obs"]


@pytest.mark.parametrize("place", ["uns", "obsp"])
def test_a_file_that_nothing_can_be_added_to_is_refused(tmp_path, place):
    path = tmp_path / "section.h5ad"
    section_file(path)
    with h5py.File(path, "r+") as file:
        del file[place]
        file[place] = np.zeros(3)
    with pytest.warns(UserWarning, match=f"{place} .*not a group"):
        study = study_of(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match="another file name"):
        save(study, path)
    assert path.read_bytes() == content
