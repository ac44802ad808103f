"""Folders as Space Ranger writes them, with a known truth."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import io as scipy_io
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS, COLUMNS = 600, 800  # of the full-resolution picture: sides differ, so a swap shows
PITCH = 40.0
FACTORS = {
    "tissue_hires_scalef": 0.5,
    "tissue_lowres_scalef": 0.125,
    "fiducial_diameter_fullres": 42.0,
    "spot_diameter_fullres": 26.0,
}


@dataclass
class Truth:
    """What was written: every spot of the slide, and the counts of those in tissue."""

    folder: Path
    spots: pd.DataFrame
    counts: pd.DataFrame
    gene_ids: list[str]

    @property
    def outs(self) -> Path:
        return self.folder / "outs"


def hexagonal_slide() -> pd.DataFrame:
    """In tissue is the part right of a slanted line."""
    rows = []
    for row in range(12):
        for column in range(row % 2, 20, 2):
            rows.append((row, column, 300 + column * PITCH / 2, 100 + row * PITCH * 3**0.5 / 2))
    spots = pd.DataFrame(rows, columns=["array_row", "array_col", "x", "y"])
    spots["in_tissue"] = (spots["array_col"] > 3 + spots["array_row"] // 3).astype(int)
    letters = np.random.default_rng(7).choice(list("ACGT"), size=(len(spots), 16))
    spots.index = pd.Index(["".join(word) + "-1" for word in letters])
    assert spots.index.is_unique
    return spots


def picture(scale: float) -> np.ndarray[Any, Any]:
    """Grey noise with the tissue's corner pixel marked in red."""
    shape = (round(ROWS * scale), round(COLUMNS * scale), 3)
    pixels = np.random.default_rng(3).integers(90, 200, size=shape, dtype=np.uint8)
    pixels[round(100 * scale), round(300 * scale)] = (255, 0, 0)
    return pixels


def write_positions(spots: pd.DataFrame, path: Path, *, header: bool) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(
                [
                    "barcode",
                    "in_tissue",
                    "array_row",
                    "array_col",
                    "pxl_row_in_fullres",
                    "pxl_col_in_fullres",
                ]
            )
        for barcode, spot in spots.iterrows():
            writer.writerow(
                [
                    barcode,
                    int(spot["in_tissue"]),
                    int(spot["array_row"]),
                    int(spot["array_col"]),
                    spot["y"],
                    spot["x"],
                ]
            )


def write_h5_matrix(
    path: Path,
    counts: pd.DataFrame,
    gene_ids: list[str],
    feature_types: list[str] | None = None,
    *,
    layout: int = 3,
) -> None:
    stored = sparse.csr_matrix(counts.to_numpy())
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if layout == 3 else "GRCh38")
        group["barcodes"] = np.array(list(counts.index), dtype="S")
        group["data"] = stored.data.astype(np.int32)
        group["indices"] = stored.indices.astype(np.int64)
        group["indptr"] = stored.indptr.astype(np.int64)
        group["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
        names, ids = np.array(list(counts.columns), dtype="S"), np.array(gene_ids, dtype="S")
        if layout == 3:
            features = group.create_group("features")
            features["name"], features["id"] = names, ids
            kinds = feature_types or ["Gene Expression"] * counts.shape[1]
            features["feature_type"] = np.array(kinds, dtype="S")
        else:
            group["gene_names"], group["genes"] = names, ids


def write_mtx_matrix(
    folder: Path, counts: pd.DataFrame, gene_ids: list[str], *, zipped: bool, old: bool = False
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    opened: Any = gzip.open if zipped else open
    end = ".gz" if zipped else ""
    with opened(folder / f"matrix.mtx{end}", "wb") as file:
        scipy_io.mmwrite(file, sparse.coo_matrix(counts.to_numpy().T), field="integer")
    with opened(folder / f"barcodes.tsv{end}", "wt") as file:
        file.write("".join(f"{barcode}\n" for barcode in counts.index))
    with opened(folder / f"{'genes' if old else 'features'}.tsv{end}", "wt") as file:
        for gene, name in zip(gene_ids, counts.columns, strict=True):
            file.write(f"{gene}\t{name}" + ("\n" if old else "\tGene Expression\n"))


@pytest.fixture
def visium(tmp_path: Path) -> Callable[..., Truth]:
    """Write a section; the arguments say which version and what is there."""

    def write(
        *,
        name: str = "sample",
        positions: str = "tissue_positions.csv",
        matrix: str = "h5",
        images: tuple[str, ...] = ("hires", "lowres"),
        factors: dict[str, Any] | None = None,
    ) -> Truth:
        spots = hexagonal_slide()
        rng = np.random.default_rng(11)
        inside = spots.index[spots["in_tissue"] == 1]
        barcodes = rng.permutation(inside)
        counts = pd.DataFrame(
            rng.poisson(0.7, size=(len(barcodes), 30)),
            index=barcodes,
            columns=[f"Gene{k}" for k in range(28)] + ["Twin", "Twin"],
        )
        counts.iloc[4] = 0  # a spot without counts
        counts.iloc[:, 5] = 0  # a gene without counts
        gene_ids = [f"ENSG{k:011d}" for k in range(30)]
        folder = tmp_path / name
        outs = folder / "outs"
        spatial = outs / "spatial"
        spatial.mkdir(parents=True)
        if positions.endswith(".parquet"):
            table = spots.rename(columns={"y": "pxl_row_in_fullres", "x": "pxl_col_in_fullres"})
            table.rename_axis("barcode").reset_index().to_parquet(spatial / positions)
        elif positions:
            header = positions != "tissue_positions_list.csv"
            write_positions(spots, spatial / positions, header=header)
        if matrix == "h5":
            write_h5_matrix(outs / "filtered_feature_bc_matrix.h5", counts, gene_ids)
        elif matrix:
            write_mtx_matrix(
                outs / "filtered_feature_bc_matrix", counts, gene_ids, zipped=matrix == "mtx.gz"
            )
        for image in images:
            scale = FACTORS[f"tissue_{image}_scalef"]
            Image.fromarray(picture(scale)).save(spatial / f"tissue_{image}_image.png")
        (spatial / "scalefactors_json.json").write_text(
            json.dumps(FACTORS if factors is None else factors)
        )
        return Truth(folder, spots, counts, gene_ids)

    return write


@pytest.fixture
def writers() -> dict[str, Callable[..., None]]:
    """The writers themselves, for tests that need a part of a folder."""
    return {"positions": write_positions, "h5": write_h5_matrix, "mtx": write_mtx_matrix}
