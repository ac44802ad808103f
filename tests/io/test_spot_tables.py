"""Tables of spots come back as they went, whatever is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from napari_smoother.errors import InputError
from napari_smoother.io.spot_table import write_spot_table

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="barcode", float_precision="round_trip")


def test_numbers_and_any_text_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    barcodes = ["AAAC-1", "with, comma", 'with "quotes"', "two\nlines", "Zürich µ"]
    table = pd.DataFrame(
        {
            "T cell, CD4+": rng.random(5),
            "B": rng.random(5).astype(np.float32),
            "domain": pd.Categorical(["a", None, "b, c", "a", "a"]),
            "in tissue": [True, False, True, True, False],
            "number": np.arange(5),
        },
        index=barcodes,
    )
    table.iloc[1, 0] = np.nan
    before = table.copy()
    path = tmp_path / "table.csv"
    write_spot_table(table, path)
    pd.testing.assert_frame_equal(table, before)
    found = read(path)
    assert list(found.index) == barcodes
    assert list(found) == list(table)
    np.testing.assert_array_equal(found["T cell, CD4+"], table["T cell, CD4+"])
    np.testing.assert_array_equal(found["B"].astype(np.float32), table["B"])
    assert found["domain"].fillna("").tolist() == ["a", "", "b, c", "a", "a"]
    assert found["in tissue"].tolist() == table["in tissue"].tolist()
    assert found["number"].tolist() == [0, 1, 2, 3, 4]


def test_what_no_file_holds_is_written_otherwise(tmp_path: Path) -> None:
    table = pd.DataFrame({"half \ud800": ["a\0b", "\udfff"]}, index=["x", "y\ud800"])
    path = tmp_path / "table.csv"
    write_spot_table(table, path)
    found = read(path)
    assert found.shape == (2, 1)
    assert found.iloc[0, 0] == "a␀b"
    assert list(found.index) == ["x", "y�"]


def test_old_file_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(InputError, match="no such folder"):
        write_spot_table(pd.DataFrame({"a": [1]}), folder / "table.csv")
    path = tmp_path / "table.csv"
    path.write_text("old")
    path.chmod(0o444)

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises((InputError, RuntimeError)):
        write_spot_table(pd.DataFrame({"a": [Broken()]}), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
