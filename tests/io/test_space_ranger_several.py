"""Aggregated sections, gzipped and prefixed downloads, cells of Space Ranger 4."""

from __future__ import annotations

import gzip
import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import napari_smoother
from napari_smoother.errors import InputError
from napari_smoother.io.images import TooLarge, read_picture
from napari_smoother.io.opening import SeveralLibraries, is_section, open_section
from napari_smoother.io.space_ranger_folder import find_space_ranger


@pytest.fixture
def aggregated(visium, writers):
    """The section twice, as spaceranger aggr writes it; the second with other counts."""
    truth = visium(name="both")
    outs, spatial = truth.outs, truth.outs / "spatial"
    first = pd.Index([name[:-1] + "1" for name in truth.counts.index])
    second = pd.Index([name[:-1] + "2" for name in truth.counts.index])
    other = truth.counts.set_axis(second).iloc[::-1] + 1
    both = pd.concat([truth.counts.set_axis(first), other])
    writers["h5"](outs / "filtered_feature_bc_matrix.h5", both, truth.gene_ids)
    spots = pd.concat(
        [truth.spots, truth.spots.set_axis([n[:-1] + "2" for n in truth.spots.index])]
    )
    writers["positions"](spots, outs / "aggr_tissue_positions.csv", header=True)
    (outs / "aggregation.csv").write_text("library_id,molecule_h5\nLB,x\nLA,y\n")
    for library in ("LA", "LB"):
        (spatial / library).mkdir()
        for path in list(spatial.iterdir()):
            if path.is_file() and path.suffix in (".json", ".png"):
                shutil.copy(path, spatial / library)
    for path in list(spatial.iterdir()):
        if path.is_file():
            path.unlink()
    pixels = np.full((75, 100, 3), 7, dtype=np.uint8)
    pixels[0] = 9
    Image.fromarray(pixels).save(spatial / "LA" / "tissue_lowres_image.png")
    return truth, outs, other


@pytest.mark.parametrize("place", ["outs", "outs/spatial", "."])
def test_aggregated_sections_are_asked_about(aggregated, place):
    truth, _, other = aggregated
    path = truth.folder / place
    assert is_section(path)
    with pytest.raises(SeveralLibraries, match=r"aggregation\.csv names them: LB, LA") as caught:
        open_section(path)
    assert caught.value.libraries == ("LB", "LA")
    first, second = (open_section(path, library=name) for name in ("LB", "LA"))
    np.testing.assert_array_equal(first.adata.X.toarray(), truth.counts.to_numpy())
    np.testing.assert_array_equal(second.adata.X.toarray(), other.to_numpy())
    assert list(second.adata.obs_names) == list(other.index)
    assert second.name == "both LA"
    assert list(second.adata.uns["spatial"]) == ["both LA"]
    np.testing.assert_array_equal(
        second.positions, truth.spots.loc[truth.counts.index[::-1], ["x", "y"]]
    )
    assert [image.name for image in second.images] == ["hires", "lowres"]
    assert set(np.unique(second.images[1].pixels)) == {7, 9}
    assert len(np.unique(first.images[1].pixels)) > 9
    with pytest.raises(InputError, match='no section "LC"; there are: LB, LA'):
        open_section(path, library="LC")


def test_aggregated_without_the_list_of_sections(aggregated):
    truth, outs, _ = aggregated
    (outs / "aggregation.csv").unlink()
    with (
        pytest.warns(UserWarning, match=r"no aggregation\.csv"),
        pytest.raises(SeveralLibraries, match="endings of barcodes names them: 1, 2"),
    ):
        open_section(outs)
    with pytest.warns(UserWarning, match="no scalefactors_json"):
        section = open_section(outs, library="1")
    np.testing.assert_array_equal(section.adata.X.toarray(), truth.counts.to_numpy())
    assert section.images == ()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "cannot be read"),
        ("name,path\nLA,x\n", "no column library_id"),
        ("library_id\nLA\nLA\n", "no column library_id with a name for each"),
        ("library_id\nLA\n", r"end in -2, but aggregation\.csv names 1"),
    ],
)
def test_a_list_of_sections_that_does_not_fit(aggregated, table, says):
    _, outs, _ = aggregated
    (outs / "aggregation.csv").write_text(table)
    with pytest.raises(InputError, match=says) as caught:
        open_section(outs)
    assert "aggregation.csv" in caught.value.where


def test_barcodes_of_two_sections_in_a_plain_folder(aggregated):
    """Merged by hand: the usual names, but -1 and -2 over each other."""
    truth, outs, _ = aggregated
    (outs / "aggregation.csv").unlink()
    (outs / "aggr_tissue_positions.csv").rename(outs / "spatial" / "tissue_positions.csv")
    with pytest.raises(SeveralLibraries) as caught:
        open_section(outs)
    assert caught.value.libraries == ("1", "2")
    with pytest.warns(UserWarning, match="no scalefactors_json"):
        section = open_section(outs, library="1")
    np.testing.assert_array_equal(section.adata.X.toarray(), truth.counts.to_numpy())


def test_one_section_has_no_other_libraries(visium):
    outs = visium(name="liver").outs
    assert open_section(outs, library="liver").name == "liver"
    with pytest.raises(InputError, match='no section "kidney"; there is one: liver'):
        open_section(outs, library="kidney")


def zipped(path, name):
    with gzip.open(path.with_name(f"{name}.gz"), "wb") as file:
        file.write(path.read_bytes())
    path.unlink()


def test_gzipped_and_prefixed_as_downloaded_from_an_archive(visium):
    """scanpy#1250, DropletUtils#127."""
    truth = visium(name="GSM1")
    flat = truth.folder
    for path in [*(truth.outs / "spatial").iterdir(), *truth.outs.glob("*.h5")]:
        target = flat / f"GSM1_S1_{path.name}"
        path.rename(target)
        if path.suffix != ".h5":
            zipped(target, target.name)
    shutil.rmtree(truth.outs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = open_section(flat)
    np.testing.assert_array_equal(section.adata.X.toarray(), truth.counts.to_numpy())
    assert [(i.name, i.scale) for i in section.images] == [("hires", 0.5), ("lowres", 0.125)]
    assert section.images[0].pixels[50, 150].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["S1_filtered_feature_bc_matrix.h5.gz", "S1_counts.tar.gz"])
def test_what_has_to_be_unpacked_is_named(visium, name):
    outs = visium().outs
    (outs / "filtered_feature_bc_matrix.h5").rename(outs / name)
    with pytest.raises(InputError, match=f"matrix is missing.*Unpack {name} there"):
        open_section(outs)


def test_a_packed_file_dropped_on_the_window(tmp_path):
    path = tmp_path / "section.h5ad.gz"
    path.write_bytes(gzip.compress(b"x"))
    with pytest.raises(InputError, match="Unpack it first"):
        open_section(path)


def test_gzipped_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    for name in ("a.png", "a.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
        zipped(tmp_path / name, name)
        picture = read_picture(tmp_path / f"{name}.gz")
        np.testing.assert_array_equal(picture.pixels, pixels)
        with pytest.raises(TooLarge, match="gunzip"):
            read_picture(tmp_path / f"{name}.gz", largest=100)
    whole = (tmp_path / "a.png.gz").read_bytes()
    for broken in (whole[:40], b"plain", whole[:20] + b"?" * 30 + whole[50:]):
        (tmp_path / "a.png.gz").write_bytes(broken)
        with pytest.raises(InputError) as caught:
            read_picture(tmp_path / "a.png.gz")
        assert caught.value.where.endswith("a.png.gz")


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08trunc", b"plain", gzip.compress(b"[" * 99999)])
def test_scale_factors_that_cannot_be_unpacked(visium, data):
    spatial = visium().outs / "spatial"
    (spatial / "scalefactors_json.json").unlink()
    (spatial / "scalefactors_json.json.gz").write_bytes(data)
    with pytest.warns(UserWarning, match=r"scalefactors_json\.json\.gz is not valid"):
        assert open_section(spatial).images == ()


def segmented(outs):
    """Turn the output into one of Space Ranger 4 with cells only."""
    cells = outs / "segmented_outputs"
    cells.mkdir()
    matrix = outs / "filtered_feature_bc_matrix.h5"
    matrix.rename(cells / "filtered_feature_cell_matrix.h5")
    (cells / "cell_segmentations.geojson").write_text("{}")
    (cells / "spatial").mkdir()
    (cells / "spatial" / "scalefactors_json.json").write_text(json.dumps({}))
    return cells


def test_segmented_cells_are_named_for_what_they_are(visium):
    """spatialdata-io#310, squidpy#1057."""
    outs = visium().outs
    cells = segmented(outs)
    for path in (cells, cells / "filtered_feature_cell_matrix.h5", cells / "spatial", outs):
        assert is_section(path)
        with pytest.raises(InputError, match="Space Ranger 4 segmented") as caught:
            open_section(path)
        assert "binned_outputs/square_008um" in caught.value.remedy


def test_bins_beside_segmented_cells_are_opened(visium):
    truth = visium(name="hd")
    bins = truth.outs / "binned_outputs" / "square_008um"
    bins.mkdir(parents=True)
    shutil.move(truth.outs / "spatial", bins)
    shutil.copy(truth.outs / "filtered_feature_bc_matrix.h5", bins)
    segmented(truth.outs)
    assert find_space_ranger(truth.outs).root == bins
    assert open_section(truth.outs).name == "hd square_008um"


def test_read_gives_what_the_window_opens(visium, aggregated):
    truth = visium(name="plain")
    adata = napari_smoother.read(truth.outs)
    np.testing.assert_array_equal(adata.X.toarray(), truth.counts.to_numpy())
    library = adata.uns["spatial"]["plain"]
    assert set(library["images"]) == {"hires", "lowres"}
    assert library["scalefactors"]["tissue_hires_scalef"] == 0.5
    _, outs, other = aggregated
    assert list(napari_smoother.read(outs, library="LA").obs_names) == list(other.index)
    with pytest.raises(SeveralLibraries):
        napari_smoother.read(outs)
