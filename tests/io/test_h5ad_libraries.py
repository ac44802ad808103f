"""Several sections in one h5ad file: asked about, chosen, or refused; odd forms of uns."""

from __future__ import annotations

import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import libraries_in
from napari_smoother.io.opening import SeveralLibraries, open_section

N = 144
FACTORS = {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 55.0}


def lattice():
    row, column = np.mgrid[:12, :12]
    x = 100 * (column + row % 2 / 2)
    return np.column_stack([x.ravel(), 100 * row.ravel() * 3**0.5 / 2]) + 50


def section(positions=None, seed=0, **columns):
    counts = np.random.default_rng(seed).poisson(1.0, (N, 6)).astype(np.float32)
    adata = anndata.AnnData(counts)
    adata.obsm["spatial"] = lattice() if positions is None else positions
    adata.obs_names = [f"AT{k:05d}AAAC-1" for k in range(N)]
    for name, value in columns.items():
        adata.obs[name] = pd.Categorical([value] * N)
    return adata


def joined(*sections, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.concat(sections, **options)


@pytest.fixture
def saved(tmp_path):
    def save(adata):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata.write_h5ad(tmp_path / "both.h5ad")
        return tmp_path / "both.h5ad"

    return save


def asked(path, names, **options):
    with pytest.raises(SeveralLibraries) as caught:
        open_section(path, **options)
    assert caught.value.libraries == names
    assert caught.value.where == str(path)
    return caught.value


SHIFTS = {"same places": (0, 0), "shifted": (31, 17), "half over": (600, 0)}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
@pytest.mark.parametrize("column", ["library_id", "Sample", "batch", "sectionID", "Bregma"])
def test_concatenated_without_uns(saved, column, shift):
    """squidpy#543, #667: anndata.concat drops uns; a column says which spot is whose."""
    second = section(lattice() + shift, seed=1, **{column: "second"})
    path = saved(joined(section(**{column: "first"}), second))
    assert libraries_in(path) == ()
    fault = asked(path, ("first", "second"))
    assert f'obs["{column}"]' in fault.problem
    chosen = open_section(path, library="second")
    assert chosen.name == "both second"
    np.testing.assert_array_equal(chosen.positions, second.obsm["spatial"])
    np.testing.assert_array_equal(chosen.adata.X.toarray(), second.X)
    with pytest.raises(InputError, match='no section "third"; there are: first, second'):
        open_section(path, library="third")


def test_sections_by_the_endings_of_barcodes(saved):
    path = saved(joined(section(), section(seed=1), index_unique="-", keys=["A", "B"]))
    fault = asked(path, ("A", "B"))
    assert "endings of obs_names" in fault.problem
    names = open_section(path, library="B").adata.obs_names
    assert len(names) == N
    assert all(name.endswith("-B") for name in names)


def test_pictures_of_sections_by_the_endings_of_barcodes(saved):
    both = joined(section(), section(seed=1), index_unique="-", keys=["A", "B"])
    both.uns["spatial"] = {"A": one_picture(), "B": one_picture()}
    path = saved(both)
    asked(path, ("A", "B"))
    chosen = open_section(path, library="B")
    assert all(name.endswith("-B") for name in chosen.adata.obs_names)
    assert list(chosen.adata.uns["spatial"]) == ["B"]


def test_spatialdata_says_which_column_names_sections(saved):
    both = joined(section(place="A_spots"), section(seed=1, place="B_spots"))
    both.uns["spatialdata_attrs"] = {"region_key": "place", "region": ["A_spots", "B_spots"]}
    asked(saved(both), ("A_spots", "B_spots"))


def test_tiles_and_samples_of_one_slide_are_one_section(saved):
    tiles = section(sample="only")
    x, y = lattice().T
    tiles.obs["fov"] = (3 * (x // 300) + y // 400).astype(int)
    assert tiles.obs["fov"].nunique() > 6
    path = saved(tiles)
    assert open_section(path).n_spots == N
    chosen = open_section(path, library="0")
    assert chosen.n_spots == (tiles.obs["fov"] == 0).sum()
    assert chosen.name == "both 0"


def test_sections_beside_each_other_are_one_slide(saved):
    both = joined(section(sample="a"), section(lattice() + np.array([1500, 0]), sample="b"))
    assert open_section(saved(both)).n_spots == 2 * N


@pytest.mark.parametrize("shift", [(0, 0), (31, 17)])
def test_overlap_that_nothing_explains_is_refused(saved, shift):
    both = joined(section(), section(lattice() + shift, seed=1))
    with pytest.raises(InputError, match=r"several sections.*library_id") as caught:
        open_section(saved(both))
    assert 'both.h5ad, obsm["spatial"]' in caught.value.where


def test_a_few_spots_at_the_same_place_are_no_matter(saved):
    adata = section()
    adata.obsm["spatial"][:10] = adata.obsm["spatial"][10:20]
    assert open_section(saved(adata)).n_spots == N


def test_a_library_that_is_several_sections_itself(saved):
    parts = [section(library_id=i, sample=s) for i, s in ("Aa", "Ab", "Bc")]
    both = joined(*parts)
    both.uns["spatial"] = {name: {"images": {}, "scalefactors": {}} for name in "AB"}
    path = saved(both)
    asked(path, ("A", "B"))
    assert open_section(path, library="B").n_spots == N
    with pytest.raises(InputError, match=r"section A holds 2 sections.*sample"):
        open_section(path, library="A")


def test_few_depths_are_sections(saved):
    flat = lattice()
    deep = np.vstack([np.column_stack([flat, np.full(N, z)]) for z in (10.0, 20.5)])
    both = joined(section(), section(seed=1))
    both.obsm["spatial"] = deep
    path = saved(both)
    fault = asked(path, ("z = 10", "z = 20.5"))
    assert 'third coordinate of obsm["spatial"]' in fault.problem
    np.testing.assert_array_equal(open_section(path, library="z = 20.5").positions, flat)


def one_picture():
    pixels = np.random.default_rng(5).integers(0, 255, (130, 130, 3), dtype=np.uint8)
    return {"images": {"hires": pixels}, "scalefactors": dict(FACTORS)}


def test_uns_without_a_library_between(saved):
    """squidpy#999: images and scalefactors are no two sections."""
    adata = section()
    adata.uns["spatial"] = {**one_picture(), "metadata": {"chemistry_description": "Visium"}}
    path = saved(adata)
    assert libraries_in(path) == ()
    opened = open_section(path)
    assert (opened.name, opened.n_spots) == ("both", N)
    assert [(image.name, image.scale) for image in opened.images] == [("hires", 0.1)]
    assert opened.micrometres_per_pixel == pytest.approx(65 / 55)
    assert list(opened.adata.uns["spatial"]) == ["images", "metadata", "scalefactors"]


def test_a_library_called_images(saved):
    adata = section()
    adata.uns["spatial"] = {"images": one_picture()}
    path = saved(adata)
    assert libraries_in(path) == ("images",)
    assert [image.name for image in open_section(path).images] == ["hires"]


def test_flags_beside_libraries_are_no_libraries(saved):
    adata = section()
    adata.uns["spatial"] = {"lib": one_picture(), "is_single": True, "n": 3}
    path = saved(adata)
    assert libraries_in(path) == ("lib",)
    assert [image.name for image in open_section(path).images] == ["hires"]


@pytest.mark.parametrize("odd", [np.zeros((4, 4)), "hires", np.array(["a", "b"], dtype=object)])
def test_uns_that_holds_no_libraries(saved, odd):
    adata = section()
    adata.uns["spatial"] = odd
    with pytest.warns(UserWarning, match="instead of libraries.*without picture and scale"):
        opened = open_section(saved(adata))
    assert (opened.images, opened.spot_diameter) == ((), None)


def test_an_empty_uns(saved):
    path = saved(section())
    with h5py.File(path, "a") as file:
        null = file["uns"].create_dataset("spatial", data=h5py.Empty("f4"))
        null.attrs["encoding-type"], null.attrs["encoding-version"] = "null", "0.1.0"
    assert open_section(path).images == ()


def test_images_that_are_a_list(saved):
    adata = section()
    adata.uns["spatial"] = {"lib": {"images": np.zeros((2, 9, 9, 3)), "scalefactors": 3.0}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = open_section(saved(adata))
    said = [str(remark.message) for remark in caught if remark.category is UserWarning]
    assert opened.images == ()
    assert any("images of" in text and "left out" in text for text in said)
    assert any("scalefactors of" in text for text in said)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(np.array([["a"]], dtype=object), "not numbers"), (np.zeros((3, 4, 5, 6)), "its shape")],
)
def test_pictures_that_are_none(saved, pixels, reason):
    adata = section()
    adata.uns["spatial"] = {"lib": {"images": {"hires": pixels}, "scalefactors": FACTORS}}
    with pytest.warns(UserWarning, match=f"hires.*left out.*{reason}"):
        assert open_section(saved(adata)).images == ()


def test_whose_picture_it_is_is_not_guessed(saved):
    both = joined(section(sample="a"), section(seed=1, sample="b"))
    both.uns["spatial"] = {"slide7": one_picture()}
    path = saved(both)
    asked(path, ("a", "b"))
    with pytest.warns(UserWarning, match="does not say of which section.*slide7.*under b"):
        assert [image.name for image in open_section(path, library="b").images] == ["hires"]


@pytest.mark.tissue
def test_two_real_sections(tissue, saved):
    """Side by side they are a slide, over each other they are asked about."""
    names = ("visium_dlpfc_151673/visium_dlpfc_151673", "visium_dlpfc_151675/visium_dlpfc_151675")
    first, second = (anndata.read_h5ad(tissue / f"{name}.h5ad")[:, :50].copy() for name in names)
    second.var_names = first.var_names
    first.obs["sample"], second.obs["sample"] = "151673", "151675"
    path = saved(joined(first, second))
    asked(path, ("151673", "151675"))
    assert open_section(path, library="151675").n_spots == 3592
    bare = joined(first, second)
    del bare.obs["sample"]
    bare.obs_names = [f"spot{k}" for k in range(bare.n_obs)]
    with pytest.raises(InputError, match="several lattices"):
        open_section(saved(bare))
    second.obsm["spatial"] = second.obsm["spatial"] + np.array([9000, 0])
    assert open_section(saved(joined(first, second))).n_spots == 3639 + 3592
