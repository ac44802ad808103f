"""Space Ranger folders of every version against what was written; real ones against csv, h5py."""

from __future__ import annotations

import csv
import gzip
import json
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from scipy.spatial import cKDTree

from napari_smoother.errors import Cancelled
from napari_smoother.io.opening import is_section, open_section
from napari_smoother.io.space_ranger import read_space_ranger


def agrees(section, truth):
    """Every number of a section is the one that was written."""
    barcodes = truth.counts.index
    spots = truth.spots.loc[barcodes]
    assert list(section.adata.obs_names) == list(barcodes)
    np.testing.assert_array_equal(section.positions, spots[["x", "y"]].to_numpy())
    np.testing.assert_array_equal(section.adata.X.toarray(), truth.counts.to_numpy())
    assert list(section.adata.var["gene_ids"]) == truth.gene_ids
    assert list(section.adata.var_names) == [*truth.counts.columns[:-1], "Twin-1"]
    for column in ("in_tissue", "array_row", "array_col"):
        np.testing.assert_array_equal(section.adata.obs[column], spots[column])
    return True


@pytest.mark.parametrize("matrix", ["h5", "mtx", "mtx.gz"])
@pytest.mark.parametrize(
    "positions",
    ["tissue_positions_list.csv", "tissue_positions.csv", "tissue_positions.parquet"],
)
def test_every_version_gives_the_same_section(visium, positions, matrix):
    truth = visium(positions=positions, matrix=matrix)
    section = read_space_ranger(truth.outs)
    assert agrees(section, truth)
    assert sparse.isspmatrix_csr(section.adata.X) or section.adata.X.format == "csr"
    assert section.adata.X.dtype == np.float32
    assert [(i.name, i.scale) for i in section.images] == [("hires", 0.5), ("lowres", 0.125)]


@pytest.mark.parametrize("where", [".", "outs", "outs/spatial", "outs/matrix"])
def test_any_folder_of_the_output_opens_it(visium, where):
    truth = visium(name="liver")
    path = truth.folder / where
    if where == "outs/matrix":
        path = truth.outs / "filtered_feature_bc_matrix.h5"
    assert is_section(path)
    section = open_section(path)
    assert agrees(section, truth)
    assert section.name == "liver"


def test_x_is_the_pixel_column(visium):
    """On a picture wider than high, the marked corner lies under the spot at row 0, column 0."""
    truth = visium()
    section = read_space_ranger(truth.outs)
    assert section.positions[:, 0].max() > 600 > section.positions[:, 1].max()
    for image in section.images:
        rows, columns = np.nonzero((image.pixels == (255, 0, 0)).all(axis=2))
        assert columns.tolist() == [round(300 * image.scale)]
        assert rows.tolist() == [round(100 * image.scale)]
        assert image.pixels.shape[1] > image.pixels.shape[0]


def test_header_is_seen_in_the_file_not_in_its_name(visium, writers):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_positions.csv"
    path.unlink()
    writers["positions"](truth.spots, path.with_name("tissue_positions_list.csv"), header=True)
    assert agrees(read_space_ranger(truth.outs), truth)


def test_raw_matrix_is_cut_to_spots_in_tissue(visium, writers):
    truth = visium(matrix="")
    rng = np.random.default_rng(0)
    every = pd.DataFrame(
        rng.poisson(1.0, size=(len(truth.spots), truth.counts.shape[1])),
        index=rng.permutation(truth.spots.index),
        columns=truth.counts.columns,
    )
    writers["h5"](truth.outs / "raw_feature_bc_matrix.h5", every, truth.gene_ids)
    section = read_space_ranger(truth.outs)
    inside = every.index[truth.spots.loc[every.index, "in_tissue"] == 1]
    assert list(section.adata.obs_names) == list(inside)
    np.testing.assert_array_equal(section.adata.X.toarray(), every.loc[inside].to_numpy())


def test_filtered_matrix_is_preferred_to_raw(visium, writers):
    truth = visium()
    writers["h5"](truth.outs / "raw_feature_bc_matrix.h5", truth.counts * 2, truth.gene_ids)
    assert agrees(read_space_ranger(truth.outs), truth)


def test_antibodies_are_left_out(visium, writers):
    truth = visium()
    kinds = ["Gene Expression"] * 27 + ["Antibody Capture"] * 3
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    writers["h5"](path, truth.counts, truth.gene_ids, kinds)
    section = read_space_ranger(truth.outs)
    np.testing.assert_array_equal(section.adata.X.toarray(), truth.counts.iloc[:, :27].to_numpy())
    assert list(section.adata.var_names) == list(truth.counts.columns[:27])


def test_matrix_of_the_older_h5_layout(visium, writers):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    writers["h5"](path, truth.counts, truth.gene_ids, layout=2)
    assert agrees(read_space_ranger(truth.outs), truth)


def test_matrix_of_the_older_mtx_layout(visium, writers):
    truth = visium(matrix="")
    folder = truth.outs / "filtered_feature_bc_matrix"
    writers["mtx"](folder, truth.counts, truth.gene_ids, zipped=False, old=True)
    assert agrees(read_space_ranger(truth.outs), truth)


def test_names_with_a_sample_prefix(visium):
    truth = visium(matrix="mtx.gz")
    matrix = truth.outs / "filtered_feature_bc_matrix"
    for path in [*matrix.iterdir(), *(truth.outs / "spatial").iterdir()]:
        path.rename(path.with_name(f"GSM123_{path.name}"))
    for path in list(truth.outs.iterdir()):
        path.rename(path.with_name(f"GSM123_{path.name}"))
    section = read_space_ranger(truth.outs)
    assert agrees(section, truth)
    assert [i.name for i in section.images] == ["hires", "lowres"]


def test_loose_files_of_a_repository(visium):
    """Everything in one folder, gzipped, under one prefix, as GEO keeps it."""
    truth = visium(matrix="mtx.gz")
    flat = truth.folder / "flat"
    flat.mkdir()
    folders = ("filtered_feature_bc_matrix", "spatial")
    for path in [p for name in folders for p in (truth.outs / name).iterdir()]:
        name = f"GSM123_{path.name}"
        if path.suffix == ".csv":
            (flat / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        else:
            path.rename(flat / name)
    assert is_section(flat)
    assert agrees(read_space_ranger(flat), truth)


def test_visium_hd_takes_bins_of_8_micrometres(visium):
    truth = visium(name="colon", positions="tissue_positions.parquet")
    hd = {
        "tissue_hires_scalef": 0.5,
        "tissue_lowres_scalef": 0.125,
        "microns_per_pixel": 0.27,
        "bin_size_um": 8.0,
        "spot_diameter_fullres": 29.6,
    }
    (truth.outs / "spatial" / "scalefactors_json.json").write_text(json.dumps(hd))
    bins = truth.folder / "hd" / "outs" / "binned_outputs"
    bins.mkdir(parents=True)
    (bins / "square_002um").mkdir()
    truth.outs.rename(bins / "square_008um")
    for folder in (bins.parent.parent, bins.parent, bins, bins / "square_008um"):
        assert is_section(folder)
        section = open_section(folder)
        assert section.micrometres_per_pixel == 0.27
        assert section.spot_diameter == pytest.approx(8.0 / 0.27)
        assert section.name == "hd square_008um"
        assert agrees(section, truth)


def test_scale_comes_from_the_pitch_of_the_array(visium):
    section = read_space_ranger(visium().outs)
    assert section.micrometres_per_pixel == pytest.approx(100 / 40)
    assert section.spot_diameter == pytest.approx(55 / 2.5)


def test_scale_without_an_array_comes_from_the_fiducials_then_the_spots(visium):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path)
    table["array_col"] = range(len(table))  # no hexagonal array any more
    table.to_csv(path, index=False)
    section = read_space_ranger(truth.outs)
    assert section.micrometres_per_pixel == pytest.approx(105 / 42)
    (path.parent / "scalefactors_json.json").write_text(
        json.dumps({"spot_diameter_fullres": 26.0})
    )
    with pytest.warns(UserWarning, match="tissue_hires_scalef"):
        section = read_space_ranger(truth.outs)
    assert section.micrometres_per_pixel == pytest.approx(65 / 26)
    assert section.spot_diameter == pytest.approx(55 / 2.5)


def test_without_any_picture(visium):
    section = read_space_ranger(visium(images=()).outs)
    assert section.images == ()
    assert section.micrometres_per_pixel == pytest.approx(2.5)


def test_blank_hires_is_left_out(visium):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_hires_image.png"
    Image.new("RGBA", (400, 300), (0, 0, 0, 255)).save(path)
    with pytest.warns(UserWarning, match=r"tissue_hires_image.png is left out: it is a blank"):
        section = read_space_ranger(truth.outs)
    assert [image.name for image in section.images] == ["lowres"]


def test_full_resolution_picture_beside_the_output(visium):
    truth = visium()
    pixels = np.random.default_rng(1).integers(0, 255, size=(600, 800, 3), dtype=np.uint8)
    import tifffile

    tifffile.imwrite(truth.outs / "sample_tissue_image.tif", pixels)
    section = read_space_ranger(truth.outs)
    assert [(i.name, i.scale) for i in section.images] == [
        ("fullres", 1.0),
        ("hires", 0.5),
        ("lowres", 0.125),
    ]
    np.testing.assert_array_equal(section.images[0].pixels, pixels)


def test_picture_of_another_size_is_not_taken_for_full_resolution(visium):
    truth = visium()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (800, 600), dtype=np.uint8)).save(
        truth.outs / "another_image.jpg"
    )
    with pytest.warns(UserWarning, match=r"another_image.jpg is left out: its size"):
        section = read_space_ranger(truth.outs)
    assert [image.name for image in section.images] == ["hires", "lowres"]


def test_section_stands_in_uns_as_scanpy_has_it(visium):
    section = read_space_ranger(visium(name="liver").outs)
    library = section.adata.uns["spatial"]["liver"]
    assert library["images"]["hires"] is section.images[0].pixels
    assert library["scalefactors"]["tissue_hires_scalef"] == 0.5


def test_reading_is_cancelled_between_files(visium):
    truth = visium()
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) == 3

    with pytest.raises(Cancelled):
        read_space_ranger(truth.outs, cancelled=cancelled)
    assert len(asked) == 3


@pytest.mark.tissue
def test_placenta_against_its_raw_files(tissue):
    folder = tissue / "visium_mouse_placenta"
    section = open_section(folder)
    with h5py.File(folder / "filtered_feature_bc_matrix.h5") as file:
        matrix = file["matrix"]
        truth = sparse.csc_matrix(
            (matrix["data"][:], matrix["indices"][:], matrix["indptr"][:]),
            shape=tuple(matrix["shape"][:]),
        )
        barcodes = [b.decode() for b in matrix["barcodes"][:]]
        ids = [b.decode() for b in matrix["features/id"][:]]
    with (folder / "spatial" / "tissue_positions.csv").open(newline="") as file:
        spots = {line["barcode"]: line for line in csv.DictReader(file)}
    assert list(section.adata.obs_names) == barcodes
    assert section.adata.shape == (2898, 19465)
    assert abs(section.adata.X - truth.T).max() == 0
    assert list(section.adata.var["gene_ids"]) == ids
    assert section.adata.var_names.is_unique
    for k in range(0, 2898, 137):
        spot = spots[barcodes[k]]
        assert spot["in_tissue"] == "1"
        x, y = float(spot["pxl_col_in_fullres"]), float(spot["pxl_row_in_fullres"])
        assert tuple(section.positions[k]) == (x, y)
    names = [(i.name, i.scale) for i in section.images]
    assert names == [("lowres", 0.2), ("detected_tissue", 1.0), ("aligned_fiducials", 1.0)]
    nearest = np.median(cKDTree(section.positions).query(section.positions, k=2)[0][:, 1])
    assert section.micrometres_per_pixel == pytest.approx(100 / nearest, rel=0.01)


@pytest.mark.tissue
def test_placenta_from_mtx_is_the_same_as_from_h5(tissue, tmp_path):
    source = tissue / "visium_mouse_placenta"
    for name in ("filtered_feature_bc_matrix", "spatial"):
        (tmp_path / name).symlink_to(source / name, target_is_directory=True)
    one, other = open_section(source), open_section(tmp_path)
    assert abs(one.adata.X - other.adata.X).max() == 0
    assert one.adata.var.equals(other.adata.var)
    assert one.adata.obs.equals(other.adata.obs)


@pytest.mark.tissue
def test_heart_shows_its_real_lowres_not_the_placeholder(tissue):
    with pytest.warns(UserWarning, match="blank placeholder"):
        section = open_section(tissue / "visium_human_heart_tiny")
    assert [image.name for image in section.images] == ["lowres"]
    assert section.n_spots == 100
    assert section.micrometres_per_pixel == pytest.approx(100 / 138, rel=0.01)


@pytest.mark.tissue
@pytest.mark.parametrize(
    "name",
    [
        "visium_mouse_placenta",
        "visium_human_heart_tiny",
        "visium_dlpfc_151673/visium_dlpfc_151673.h5ad",
        "st_mouse_olfactory_bulb/st_mob1.h5ad",
        "visium_mouse_hippocampus/visium_mouse_brain_dg.h5ad",
    ],
)
def test_spots_of_real_sections_lie_on_their_pictures(tissue, name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*blank placeholder")
        section = open_section(tissue / name)
    assert section.images
    # The crop of the hippocampus cuts through its first and last row of spots: their centres lie
    # up to 4 pixels (half a spot's pitch) outside. Elsewhere every spot lies on the picture.
    margin = 4.0 if "hippocampus" in name else 0.0
    for image in section.images:
        rows, columns = image.pixels.shape[:2]
        x, y = (section.positions * image.scale).T
        assert x.min() >= -margin
        assert y.min() >= -margin
        assert x.max() < columns + margin
        assert y.max() < rows + margin
