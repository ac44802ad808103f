"""Broken Space Ranger folders: each refusal names the file and the remedy, or a warning does."""

from __future__ import annotations

import gzip
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_smoother.errors import InputError
from napari_smoother.io.opening import is_section, open_section
from napari_smoother.io.space_ranger import read_space_ranger


def rewrite_positions(truth, change):
    path = truth.outs / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path, dtype=object)
    change(table).to_csv(path, index=False)
    return path


def refused(folder, *, says, names):
    with pytest.raises(InputError) as caught:
        read_space_ranger(folder)
    assert says in caught.value.problem
    assert names in caught.value.where
    assert caught.value.remedy
    return caught.value


def test_empty_folder(tmp_path):
    refused(tmp_path, says="not an output folder of Space Ranger", names=str(tmp_path))
    assert not is_section(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_section(tmp_path / "nowhere")
    refused(tmp_path / "nowhere", says="no such folder", names="nowhere")


def test_folder_without_positions(visium):
    truth = visium(positions="")
    assert not is_section(truth.outs)
    refused(truth.outs, says="positions of the spots are missing", names="spatial")


def test_folder_without_counts(visium):
    truth = visium(matrix="")
    assert not is_section(truth.outs)
    refused(truth.outs, says="count matrix is missing", names="outs")


def test_two_samples_in_one_folder(visium, writers):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    for sample in ("A", "B"):
        writers["h5"](path.with_name(f"{sample}_{path.name}"), truth.counts, truth.gene_ids)
    path.unlink()
    fault = refused(truth.outs, says="Several samples", names="outs")
    assert "A_filtered_feature_bc_matrix.h5, B_filtered" in fault.problem
    assert is_section(truth.outs)


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_truncated_h5(visium, kept):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    path.write_bytes(path.read_bytes()[:kept])
    refused(truth.outs, says="count matrix cannot be read", names=str(path))


def test_h5_whose_indices_leave_the_matrix(visium):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        file["matrix/indices"][3] = 30
    refused(truth.outs, says="contradicts itself", names=str(path))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("indices", {"shape": (2**33,), "dtype": "i4", "chunks": (1024,)}),
        ("shape", {"shape": (2**40,), "dtype": "i4", "chunks": (1024,)}),
        ("barcodes", {"shape": (2**29,), "dtype": "S32", "chunks": (1024,), "compression": 9}),
        ("indptr", {"shape": (5,), "dtype": "i4"}),
        ("shape", {"data": np.array([30.0, 100.0])}),
        ("indices", {"shape": (3,), "dtype": h5py.vlen_dtype("i4")}),
    ],
)
def test_h5_of_impossible_sizes_asks_for_no_memory(visium, name, made):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        del file[f"matrix/{name}"]
        file.create_dataset(f"matrix/{name}", **made)
    refused(truth.outs, says=name, names=str(path))


def test_mtx_of_an_impossible_size_asks_for_no_memory(visium):
    truth = visium(matrix="mtx")
    path = truth.outs / "filtered_feature_bc_matrix" / "matrix.mtx.gz"
    head = "%%MatrixMarket matrix coordinate integer general\n"
    for size, says in (
        ("2147483648 2147483648 0", "its lists name"),
        (f"{truth.counts.shape[1]} {truth.counts.shape[0]} 999999999999", "does not hold"),
    ):
        path.write_bytes(gzip.compress(f"{head}{size}\n".encode()))
        refused(truth.outs, says=says, names=str(path))


def test_a_value_of_any_length_makes_a_message_of_some_length(visium):
    truth = visium()
    rewrite_positions(
        truth,
        lambda table: table.assign(pxl_row_in_fullres=["A" * 10**6, *["1"] * (len(table) - 1)]),
    )
    with pytest.raises(InputError, match="AAAA…") as caught:
        read_space_ranger(truth.outs)
    assert len(str(caught.value)) < 2000


def test_h5_of_something_else(visium):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "w") as file:
        file["pixels"] = np.zeros(3)
    refused(truth.outs, says="this file has: none", names=str(path))


def test_truncated_mtx(visium):
    truth = visium(matrix="mtx.gz")
    path = truth.outs / "filtered_feature_bc_matrix" / "matrix.mtx.gz"
    path.write_bytes(path.read_bytes()[:200])
    refused(truth.outs, says="count matrix cannot be read", names=str(path))


def test_mtx_without_its_barcodes(visium):
    truth = visium(matrix="mtx")
    (truth.outs / "filtered_feature_bc_matrix" / "barcodes.tsv").unlink()
    refused(truth.outs, says="barcodes.tsv is missing", names="filtered_feature_bc_matrix")


def test_mtx_with_the_barcodes_of_another_run(visium):
    truth = visium(matrix="mtx")
    path = truth.outs / "filtered_feature_bc_matrix" / "barcodes.tsv"
    path.write_text("AAAA-1\nCCCC-1\n")
    refused(truth.outs, says="lists name 2", names="matrix.mtx")


def test_truncated_picture(visium):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_hires_image.png"
    path.write_bytes(path.read_bytes()[:5000])
    fault = refused(truth.outs, says="picture cannot be read", names=str(path))
    assert "without it" in fault.remedy


def test_positions_of_other_barcodes_show_both_styles(visium):
    truth = visium()
    path = rewrite_positions(
        truth, lambda t: t.assign(barcode=t["barcode"].str.replace("-1", "_1_slide"))
    )
    fault = refused(truth.outs, says="No barcode of the counts has a position", names=str(path))
    assert truth.counts.index[0] in fault.problem
    assert f"{truth.spots.index[0][:-2]}_1_slide" in fault.problem


def test_few_shared_barcodes_are_counted(visium):
    truth = visium()
    other = truth.counts.index[10:]
    rewrite_positions(
        truth, lambda t: t.replace({"barcode": {name: f"{name}X" for name in other}})
    )
    with pytest.warns(UserWarning, match="Only 10 spots have both counts and a position"):
        section = read_space_ranger(truth.outs)
    assert list(section.adata.obs_names) == list(truth.counts.index[:10])
    np.testing.assert_array_equal(section.adata.X.toarray(), truth.counts.iloc[:10].to_numpy())


def test_no_spot_in_tissue(visium):
    truth = visium()
    path = rewrite_positions(truth, lambda t: t.assign(in_tissue=0))
    refused(truth.outs, says="is marked as in tissue", names=str(path))


def test_positions_without_numbers(visium):
    truth = visium()

    def lose(table):
        table.loc[table["barcode"] == truth.counts.index[3], "pxl_row_in_fullres"] = np.nan
        return table

    path = rewrite_positions(truth, lose)
    fault = refused(truth.outs, says="1 of", names=str(path))
    assert truth.counts.index[3] in fault.problem


def test_missing_position_outside_tissue_does_no_harm(visium):
    truth = visium()
    outside = truth.spots.index[truth.spots["in_tissue"] == 0][0]

    def lose(table):
        table.loc[table["barcode"] == outside, "pxl_row_in_fullres"] = np.nan
        return table

    rewrite_positions(truth, lose)
    section = read_space_ranger(truth.outs)
    assert section.n_spots == len(truth.counts)
    assert section.micrometres_per_pixel == pytest.approx(2.5)


def test_position_that_is_text(visium):
    truth = visium()

    def spoil(table):
        table.loc[7, "pxl_col_in_fullres"] = "12,5"
        return table

    path = rewrite_positions(truth, spoil)
    fault = refused(truth.outs, says='"12,5" of barcode', names=str(path))
    assert "pxl_col_in_fullres" in fault.where


def test_positions_without_a_column(visium):
    truth = visium()
    path = rewrite_positions(truth, lambda t: t.drop(columns="pxl_col_in_fullres"))
    refused(truth.outs, says="no column pxl_col_in_fullres", names=str(path))


def test_positions_with_a_barcode_twice(visium):
    truth = visium()
    path = rewrite_positions(truth, lambda t: pd.concat([t, t.iloc[:1]]))
    refused(truth.outs, says="1 barcodes come twice", names=str(path))


def test_empty_positions(visium):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_positions.csv"
    path.write_text("")
    refused(truth.outs, says="positions cannot be read", names=str(path))


def test_parquet_that_is_none(visium):
    truth = visium(positions="tissue_positions.parquet")
    path = truth.outs / "spatial" / "tissue_positions.parquet"
    path.write_bytes(b"PAR1 or not")
    refused(truth.outs, says="positions cannot be read", names=str(path))


def test_missing_scale_factor_leaves_out_its_picture(visium):
    truth = visium(factors={"tissue_lowres_scalef": 0.125})
    with pytest.warns(UserWarning, match=r"hires_image.png is left out: .*tissue_hires_scalef"):
        section = read_space_ranger(truth.outs)
    assert [image.name for image in section.images] == ["lowres"]
    assert section.n_spots == len(truth.counts)


@pytest.mark.parametrize("content", [None, "{not json", "[1, 2]"])
def test_no_scale_factors_leave_a_section_without_picture(visium, content):
    truth = visium()
    path = truth.outs / "spatial" / "scalefactors_json.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.warns(UserWarning, match=r"scalefactors_json.json.*left out.*Copy"):
        section = read_space_ranger(truth.outs)
    assert section.images == ()
    assert section.micrometres_per_pixel == pytest.approx(2.5)


@pytest.mark.parametrize("value", [0, -0.5, "half", None, float("nan")])
def test_scale_factor_that_is_no_positive_number(visium, value):
    truth = visium(factors={"tissue_hires_scalef": value, "tissue_lowres_scalef": 0.125})
    with pytest.warns(UserWarning, match=r"tissue_hires_scalef = .* is not a positive number"):
        section = read_space_ranger(truth.outs)
    assert [image.name for image in section.images] == ["lowres"]


def test_scale_factor_of_another_picture(visium):
    truth = visium(factors={"tissue_hires_scalef": 5.0, "tissue_lowres_scalef": 0.125})
    with pytest.warns(UserWarning, match="Only 0% of the spots lie on the picture hires"):
        read_space_ranger(truth.outs)


def test_negative_counts(visium):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        file["matrix/data"][5] = -2
    fault = refused(truth.outs, says="1 counts are negative", names=str(path))
    assert "scaled data" in fault.problem


def test_counts_that_are_not_numbers(visium):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        values = file["matrix/data"][:].astype(float)
        values[[2, 9]] = np.nan
        del file["matrix/data"]
        file["matrix/data"] = values
    refused(truth.outs, says="2 counts are missing or infinite", names=str(path))


def test_section_of_antibodies_only_has_no_genes(visium, writers):
    truth = visium()
    path = truth.outs / "filtered_feature_bc_matrix.h5"
    writers["h5"](path, truth.counts, truth.gene_ids, ["Antibody Capture"] * 30)
    refused(truth.outs, says="no genes", names=str(path))


def test_empty_spots_and_genes_are_kept(visium):
    truth = visium()
    section = read_space_ranger(truth.outs)
    assert section.adata.X[4].nnz == 0
    assert section.adata.X[:, 5].nnz == 0
    assert section.adata.shape == truth.counts.shape


def test_no_bin_of_8_micrometres(tmp_path):
    for name in ("square_002um", "square_016um"):
        (tmp_path / "binned_outputs" / name).mkdir(parents=True)
    fault = refused(tmp_path, says="none is square_008um", names="binned_outputs")
    assert "square_002um, square_016um" in fault.problem


def test_unreadable_full_resolution_picture_is_left_out(visium):
    truth = visium()
    (truth.outs / "tissue_image.tif").write_bytes(b"II*\0 truncated")
    with pytest.warns(UserWarning, match=r"tissue_image.tif is left out: The picture cannot"):
        section = read_space_ranger(truth.outs)
    assert [image.name for image in section.images] == ["hires", "lowres"]


def test_second_full_resolution_picture_is_left_out(visium):
    truth = visium()
    pixels = np.random.default_rng(0).integers(0, 255, (600, 800), dtype=np.uint8)
    for name in ("a_image.png", "b_image.png"):
        Image.fromarray(pixels).save(truth.outs / name)
    with pytest.warns(UserWarning, match=r"b_image.png is left out: there is another"):
        section = read_space_ranger(truth.outs)
    assert [image.name for image in section.images] == ["fullres", "hires", "lowres"]


@pytest.mark.parametrize(
    ("images", "shown"),
    [
        (("lowres",), [("lowres", 0.125), ("aligned_fiducials", 0.25)]),
        (("hires", "lowres"), [("hires", 0.5), ("lowres", 0.125)]),
    ],
)
def test_marked_pictures_of_cytassist_stand_in_for_hires(visium, images, shown):
    truth = visium(images=images)
    spatial = truth.outs / "spatial"
    factors = json.loads((spatial / "scalefactors_json.json").read_text())
    (spatial / "scalefactors_json.json").write_text(
        json.dumps({**factors, "regist_target_img_scalef": 0.25})
    )
    pixels = np.random.default_rng(0).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(spatial / "aligned_fiducials.jpg")
    section = read_space_ranger(truth.outs)
    assert [(i.name, i.scale) for i in section.images] == shown


@pytest.mark.parametrize("column", ["barcode", "array_row", "pxl_col_in_fullres"])
def test_positions_with_a_column_twice(visium, column):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_positions.csv"
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},{column}", *(f"{line},1" for line in lines)]))
    refused(truth.outs, says=f"several columns {column}", names=str(path))


def test_positions_with_an_endless_first_line(visium):
    truth = visium()
    path = truth.outs / "spatial" / "tissue_positions.csv"
    path.write_text(",".join(["barcode"] * 50_000) + "\n" + path.read_text())
    refused(truth.outs, says="first line has", names=str(path))
