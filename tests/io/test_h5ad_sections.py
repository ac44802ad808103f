"""Sections in h5ad files: where counts, positions, pictures and libraries are looked for."""

from __future__ import annotations

import hashlib
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import libraries_in, read_h5ad_section, write_h5ad
from napari_smoother.io.opening import SeveralLibraries, is_section, open_section
from napari_smoother.io.space_ranger import read_space_ranger

ALL = [
    ("visium_dlpfc_151673/visium_dlpfc_151673.h5ad", ("151673",)),
    ("visium_human_lymph_node/lymph_node_visium_1000spots.h5ad", ()),
    ("visium_mouse_hippocampus/visium_mouse_brain_dg.h5ad", ("V1_Adult_Mouse_Brain_DG_crop",)),
    ("st_mouse_olfactory_bulb/st_mob1.h5ad", ("MOB1",)),
    ("starmap_visual_cortex/starmap_spots_ground_truth.h5ad", ()),
    ("osmfish_somatosensory_cortex/osmfish_cells.h5ad", ()),
]


@pytest.fixture
def counts():
    return np.random.default_rng(2).poisson(0.8, size=(40, 6)).astype(np.float64)


@pytest.fixture
def plain(counts):
    """Forty spots on a wide picture, one library."""
    rng = np.random.default_rng(4)
    return anndata.AnnData(
        X=sparse.csr_matrix(counts),
        obs=pd.DataFrame(
            {"layer": pd.Categorical(rng.choice(["L1", "L2"], 40))},
            index=[f"spot{k}" for k in range(40)],
        ),
        var=pd.DataFrame(index=[f"Gene{k}" for k in range(6)]),
        obsm={"spatial": np.column_stack([rng.uniform(0, 400, 40), rng.uniform(0, 300, 40)])},
        uns={
            "spatial": {
                "one": {
                    "images": {
                        "lowres": rng.integers(0, 255, (30, 40, 3), dtype=np.uint8),
                        "hires": rng.integers(0, 255, (150, 200, 3), dtype=np.uint8),
                    },
                    "scalefactors": {
                        "tissue_hires_scalef": 0.5,
                        "tissue_lowres_scalef": 0.1,
                        "spot_diameter_fullres": 12.0,
                    },
                }
            }
        },
    )


@pytest.fixture
def saved(tmp_path):
    def save(adata):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata.write_h5ad(tmp_path / "section.h5ad")
        return tmp_path / "section.h5ad"

    return save


def refused(path, *, says, names, **options):
    with pytest.raises(InputError) as caught:
        read_h5ad_section(path, **options)
    assert says in caught.value.problem
    assert names in caught.value.where
    assert caught.value.remedy
    return caught.value


def test_everything_is_where_scanpy_puts_it(plain, saved, counts):
    path = saved(plain)
    section = read_h5ad_section(path)
    assert section.name == "section"
    assert section.source == path
    np.testing.assert_array_equal(section.adata.X.toarray(), counts)
    assert section.adata.X.dtype == np.float32
    np.testing.assert_array_equal(section.positions, plain.obsm["spatial"])
    assert [(i.name, i.scale) for i in section.images] == [("hires", 0.5), ("lowres", 0.1)]
    np.testing.assert_array_equal(
        section.images[1].pixels, plain.uns["spatial"]["one"]["images"]["lowres"]
    )
    assert section.spot_diameter == 12.0
    assert section.micrometres_per_pixel is None  # nobody said these are Visium spots
    assert list(section.adata.obs["layer"].cat.categories) == ["L1", "L2"]


def test_visium_noted_by_scanpy_gives_the_scale(plain, saved):
    plain.uns["spatial"]["one"]["metadata"] = {"chemistry_description": "Spatial 3' v1 Visium"}
    section = read_h5ad_section(saved(plain))
    assert section.micrometres_per_pixel == pytest.approx(65 / 12)
    assert section.spot_diameter == pytest.approx(55 * 12 / 65)


def test_opening_does_not_change_the_file(plain, saved):
    path = saved(plain)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    stamp = path.stat().st_mtime_ns
    read_h5ad_section(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("form", [np.asarray, sparse.csc_matrix, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_counts_of_any_form(plain, saved, counts, form, dtype):
    plain.X = form(counts.astype(dtype))
    section = read_h5ad_section(saved(plain))
    assert section.adata.X.format == "csr"
    assert section.adata.X.dtype == np.float32
    np.testing.assert_array_equal(section.adata.X.toarray(), counts)


def test_layer_of_counts_comes_before_x(plain, saved, counts):
    plain.layers["counts"] = sparse.csr_matrix(counts)
    logged = np.log1p(counts)
    plain.X = logged
    section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.adata.X.toarray(), counts)
    np.testing.assert_array_equal(section.adata.layers["X"], logged)


def test_whole_x_comes_before_raw(plain, saved, counts):
    raw = plain.copy()
    raw.X = sparse.csr_matrix(counts + 1)
    plain.raw = raw
    section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.adata.X.toarray(), counts)


def test_raw_counts_come_before_scaled_x(plain, saved, counts):
    raw = plain.copy()
    fewer = plain[:, [4, 1]].copy()
    fewer.raw = raw
    fewer.X = counts[:, [4, 1]] - counts[:, [4, 1]].mean(axis=0)
    section = read_h5ad_section(saved(fewer))
    np.testing.assert_array_equal(section.adata.X.toarray(), counts)
    assert list(section.adata.var_names) == [f"Gene{k}" for k in range(6)]
    assert list(section.adata.obs["layer"]) == list(plain.obs["layer"])
    assert [image.name for image in section.images] == ["hires", "lowres"]


def test_normalised_values_are_taken_with_a_warning(plain, saved, counts):
    plain.X = counts * np.random.default_rng(3).uniform(10, 30, counts.shape)
    with pytest.warns(UserWarning, match=r"holds no whole-number.*layers\[\"counts\"\]"):
        section = read_h5ad_section(saved(plain))
    np.testing.assert_allclose(section.adata.X.toarray(), plain.X, rtol=1e-6)
    assert section.origin.kind == "normalised"


def test_features_that_are_no_genes_are_left_out(plain, saved, counts):
    plain.var["feature_types"] = ["Gene Expression"] * 4 + ["Antibody Capture", "gene expression"]
    plain.layers["z"] = counts * 0.5
    with pytest.warns(UserWarning, match="left out: 1 Antibody Capture"):
        section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.adata.X.toarray(), counts[:, [0, 1, 2, 3, 5]])
    np.testing.assert_array_equal(section.adata.layers["z"], counts[:, [0, 1, 2, 3, 5]] * 0.5)


def test_features_are_left_out_by_place_where_names_come_twice(plain, saved, counts):
    plain.var["feature_types"] = ["Gene Expression"] * 4 + ["Antibody Capture"] * 2
    plain.var_names = ["CD3", "A", "A", "CD4", "CD3", "CD4"]
    with pytest.warns(UserWarning, match="left out: 2 Antibody Capture"):
        section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.adata.X.toarray(), counts[:, :4])
    assert section.adata.n_vars == 4


def test_scaled_values_are_refused(plain, saved, counts):
    plain.X = counts - counts.mean(axis=0)
    fault = refused(
        saved(plain), says=f"X has {(plain.X < 0).sum()} negative", names="section.h5ad"
    )
    assert "looks like scaled data" in fault.problem


def test_missing_counts_are_refused(plain, saved, counts):
    counts[3, 2] = np.nan
    plain.X = counts
    refused(saved(plain), says="X has 1 values that are missing or infinite", names="section.h5ad")


def test_no_counts_at_all(plain, saved):
    plain.X = None
    refused(saved(plain), says="There are no counts", names="section.h5ad")


def test_no_genes(plain, saved):
    refused(saved(plain[:, []].copy()), says="no genes", names="section.h5ad")


def test_empty_spots_and_genes_are_kept(plain, saved, counts):
    counts[7], counts[:, 2] = 0, 0
    plain.X = sparse.csr_matrix(counts)
    section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.adata.X.toarray(), counts)


@pytest.mark.parametrize(
    ("x", "y"), [("x", "y"), ("array_x", "array_y"), ("x_centroid", "y_centroid")]
)
def test_positions_in_columns_of_obs(plain, saved, x, y):
    positions = plain.obsm.pop("spatial")
    plain.obs[x], plain.obs[y] = positions[:, 0], positions[:, 1]
    np.testing.assert_array_equal(read_h5ad_section(saved(plain)).positions, positions)


def test_positions_under_the_older_name(plain, saved):
    positions = plain.obsm.pop("spatial")
    plain.obsm["X_spatial"] = positions
    section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.adata.obsm["spatial"], positions)


@pytest.mark.parametrize("third", [0.0, 5.0, np.nan])
def test_constant_third_coordinate_is_dropped(plain, saved, third):
    positions = plain.obsm["spatial"]
    plain.obsm["spatial"] = np.column_stack([positions, np.full(40, third)])
    np.testing.assert_array_equal(read_h5ad_section(saved(plain)).positions, positions)


def test_three_coordinates_are_refused(plain, saved):
    plain.obsm["spatial"] = np.column_stack([plain.obsm["spatial"], np.arange(40.0)])
    refused(saved(plain), says="three coordinates", names='obsm["spatial"]')


def test_no_positions_names_what_was_searched(plain, saved):
    del plain.obsm["spatial"]
    fault = refused(saved(plain), says="no positions", names="section.h5ad")
    for name in ('obsm["spatial"]', 'obsm["X_spatial"]', "x/y", "x_centroid/y_centroid"):
        assert name in fault.problem


def test_positions_that_are_not_finite(plain, saved):
    plain.obsm["spatial"][6, 1] = np.nan
    fault = refused(saved(plain), says="1 of 40 spots", names='obsm["spatial"]')
    assert "spot6" in fault.problem


def test_spots_outside_tissue_are_left_out(plain, saved):
    plain.obs["in_tissue"] = np.arange(40) % 4 != 0
    section = read_h5ad_section(saved(plain))
    np.testing.assert_array_equal(section.positions, plain.obsm["spatial"][np.arange(40) % 4 != 0])
    plain.obs["in_tissue"] = 0
    refused(saved(plain), says="No spot is marked", names="in_tissue")


def two_libraries(plain, column):
    other = plain.copy()
    other.obs_names = [f"other{k}" for k in range(40)]
    other.obsm["spatial"] = plain.obsm["spatial"][::-1].copy()
    library = plain.uns["spatial"]["one"]
    both = anndata.concat([plain, other])
    if column:
        both.obs[column] = pd.Categorical(["one"] * 40 + ["two"] * 40)
    both.uns["spatial"] = {
        "one": library,
        "two": {**library, "images": {"lowres": library["images"]["lowres"][::-1]}},
    }
    return both


@pytest.mark.parametrize("column", ["library_id", "sample", "batch", "where from"])
def test_several_libraries_are_asked_about(plain, saved, column):
    path = saved(two_libraries(plain, column))
    assert libraries_in(path) == ("one", "two")
    with pytest.raises(SeveralLibraries, match="one, two") as caught:
        open_section(path)
    assert caught.value.libraries == ("one", "two")
    section = open_section(path, library="two")
    assert section.name == "section two"
    assert list(section.adata.obs_names) == [f"other{k}" for k in range(40)]
    np.testing.assert_array_equal(section.positions, plain.obsm["spatial"][::-1])
    assert [image.name for image in section.images] == ["lowres"]
    np.testing.assert_array_equal(
        section.images[0].pixels, plain.uns["spatial"]["one"]["images"]["lowres"][::-1]
    )
    assert list(section.adata.uns["spatial"]) == ["two"]


def test_library_that_is_not_there(plain, saved):
    path = saved(two_libraries(plain, "library_id"))
    fault = refused(path, library="three", says='no section "three"', names="uns")
    assert "one, two" in fault.problem


def test_libraries_without_a_column_for_their_spots(plain, saved):
    path = saved(two_libraries(plain, None))
    fault = refused(path, library="one", says="No column of obs", names="obs")
    assert "library_id" in fault.remedy


def test_sections_without_picture_are_asked_about_too(plain, saved):
    """anndata.concat with uns_merge="first" keeps the picture of the first."""
    both = two_libraries(plain, "library_id")
    del both.uns["spatial"]["two"]
    path = saved(both)
    with pytest.raises(SeveralLibraries, match=r'as obs\["library_id"\] names them: one, two'):
        open_section(path)
    first, second = (open_section(path, library=name) for name in ("one", "two"))
    assert list(first.adata.obs_names) == list(plain.obs_names)
    assert [image.name for image in first.images] == ["hires", "lowres"]
    assert list(second.adata.obs_names) == [f"other{k}" for k in range(40)]
    assert second.images == ()
    assert second.adata.uns["spatial"] == {}


def test_no_library_means_no_picture_and_no_scale(plain, saved):
    del plain.uns["spatial"]
    path = saved(plain)
    assert libraries_in(path) == ()
    section = read_h5ad_section(path)
    assert (section.images, section.spot_diameter, section.micrometres_per_pixel) == (
        (),
        None,
        None,
    )


def test_picture_without_scale_factor_is_left_out(plain, saved):
    del plain.uns["spatial"]["one"]["scalefactors"]["tissue_hires_scalef"]
    with pytest.warns(UserWarning, match=r"hires.*left out: there is no scale factor"):
        section = read_h5ad_section(saved(plain))
    assert [image.name for image in section.images] == ["lowres"]


def test_names_are_made_unique(plain, saved):
    plain.obs_names = ["same"] * 2 + [f"spot{k}" for k in range(38)]
    plain.var_names = ["Twin"] * 2 + list("abcd")
    section = read_h5ad_section(saved(plain))
    assert section.adata.obs_names.is_unique
    assert list(section.adata.var_names) == ["Twin", "Twin-1", *"abcd"]


def test_text_renamed(tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_text("gene,spot\nA,1\n")
    assert is_section(path)
    refused(path, says="truncated or not an AnnData file", names=str(path))


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_file(plain, saved, kept):
    path = saved(plain)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(path, says="truncated", names=str(path))


def test_file_with_a_part_missing(plain, saved):
    path = saved(plain)
    with h5py.File(path, "a") as file:
        del file["X/indices"]
    refused(path, says="cannot be read", names=str(path))


def test_count_matrix_renamed(tmp_path):
    path = tmp_path / "a.h5ad"
    with h5py.File(path, "w") as file:
        file.create_group("matrix")
    assert "folder" in refused(path, says="holds matrix", names=str(path)).remedy


def test_other_endings_are_refused(tmp_path):
    path = tmp_path / "section.rds"
    path.write_text("")
    assert not is_section(path)
    with pytest.raises(InputError, match=r"\.rds are not sections.*\.h5ad file"):
        open_section(path)


def test_a_space_ranger_section_written_opens_the_same(visium, tmp_path):
    first = read_space_ranger(visium(name="liver").outs)
    write_h5ad(first.adata, tmp_path / "liver.h5ad")
    again = open_section(tmp_path / "liver.h5ad")
    assert abs(first.adata.X - again.adata.X).max() == 0
    np.testing.assert_array_equal(first.positions, again.positions)
    assert again.micrometres_per_pixel == first.micrometres_per_pixel
    assert again.spot_diameter == first.spot_diameter
    assert [(i.name, i.scale) for i in again.images] == [(i.name, i.scale) for i in first.images]
    for one, other in zip(first.images, again.images, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.tissue
@pytest.mark.parametrize(("name", "libraries"), ALL)
def test_real_sections_against_h5py(tissue, name, libraries):
    path = tissue / name
    assert libraries_in(path) == libraries
    section = open_section(path)
    with h5py.File(path) as file:
        stored = file["X"]
        truth = sparse.csr_matrix(
            (stored["data"][:], stored["indices"][:], stored["indptr"][:]),
            shape=tuple(stored.attrs["shape"]),
        )
        positions = file["obsm/spatial"][:]
        names = [n.decode() for n in file[f"obs/{file['obs'].attrs['_index']}"][:]]
    assert abs(section.adata.X - truth).max() == 0
    np.testing.assert_array_equal(section.positions, positions)
    assert list(section.adata.obs_names) == names


@pytest.mark.tissue
def test_cortex_has_its_true_scale(tissue):
    """Six neighbours at 100 micrometres, whatever the spot diameter in the file says."""
    section = open_section(tissue / "visium_dlpfc_151673/visium_dlpfc_151673.h5ad")
    steps = section.positions[:, None] - section.positions[None, :500]
    distance = np.hypot(*np.moveaxis(steps, -1, 0))
    distance[distance == 0] = np.inf
    nearest = np.median(distance.min(axis=0)) * section.micrometres_per_pixel
    assert nearest == pytest.approx(100, rel=0.01)
    assert section.spot_diameter * section.micrometres_per_pixel == pytest.approx(55)
    assert section.adata.obs["layer"].dtype == "category"
