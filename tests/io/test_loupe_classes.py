"""Tables of barcodes as Loupe writes and reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_smoother.errors import InputError
from napari_smoother.io.loupe_classes import read_loupe_classes, write_loupe_classes

if TYPE_CHECKING:
    from pathlib import Path

BARCODES = ["AAAC-1", "AAAG-1", "AATC-1", "ACGT-1"]


def test_classes_of_loupe_are_read(tmp_path: Path) -> None:
    path = tmp_path / "follicles.csv"
    path.write_bytes(
        b'\xef\xbb\xbfBarcode,Follicles\r\nACGT-1,"outer, left"\r\nAAAC-1,inner\r\n'
        b"TTTT-1,inner\r\nAATC-1,\r\n"
    )
    found = read_loupe_classes(path, BARCODES)
    assert found.category == "Follicles"
    assert found.names == ("outer, left", "inner")
    assert found.codes.tolist() == [1, -1, -1, 0]
    assert found.unknown == ("TTTT-1",)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    names = ["T/NK", 'a "quoted", one', "ä\nb", " blank "]
    codes = np.array([3, -1, 0, 2])
    path = tmp_path / "regions.csv"
    write_loupe_classes(path, "region", names, codes, BARCODES)
    assert path.read_text(encoding="utf-8").splitlines()[0] == "Barcode,region"
    again = read_loupe_classes(path, BARCODES)
    texts = [again.names[code] if code >= 0 else None for code in again.codes]
    assert texts == [" blank ", None, "T/NK", "ä\nb"]
    assert again.unknown == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "empty"),
        ("Barcode\nAAAC-1\n", "1 columns"),
        ("Barcode,a,b\nAAAC-1,x,y\n", "3 columns"),
        ("Barcode,a\nAAAC-1\n", "Line 2"),
        ("Barcode,a\nAAAC-1,x\nAAAC-1,y\n", "two classes: x and y"),
        ("Barcode,a\nother,x\n", "none of the barcodes"),
        ("Barcode,a\n", "none of the barcodes"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=problem):
        read_loupe_classes(path, BARCODES)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no table"):
        read_loupe_classes(path, BARCODES)
    with pytest.raises(InputError, match="no such file"):
        read_loupe_classes(tmp_path / "missing.csv", BARCODES)
