"""Signature tables as people export them, right and wrong."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from napari_smoother.errors import InputError
from napari_smoother.io.signature_table import read_signature_table


@pytest.fixture
def table(tmp_path):
    def write(text, name="signature.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def is_expected(found):
    assert list(found.index) == ["GAPDH", "CD3E", "MS4A1"]
    assert list(found.columns) == ["B cell", "T cell"]
    np.testing.assert_array_equal(found.to_numpy(), [[1.5, 2], [0, 3.25], [10, 0]])
    assert (found.dtypes == np.float64).all()
    return True


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("corner", ["", "gene", '"gene"'])
def test_separator_and_header(table, separator, corner):
    lines = [f"{corner},B cell,T cell", "GAPDH,1.5,2", "CD3E,0,3.25", "MS4A1,1e1,0", ""]
    assert is_expected(read_signature_table(table("\n".join(lines).replace(",", separator))))


def test_header_one_name_short_as_r_writes_it(table):
    text = '"B cell"\t"T cell"\n"GAPDH"\t1.5\t2\n"CD3E"\t0\t3.25\n"MS4A1"\t10\t0\n'
    assert is_expected(read_signature_table(table(text, "a.txt")))


def test_decimal_comma(table):
    text = "gene;B cell;T cell\nGAPDH;1,5;2\nCD3E;0;3,25\nMS4A1;10;0\n"
    assert is_expected(read_signature_table(table(text)))


def test_windows_lines_and_byte_order_mark(table):
    text = "\ufeffgene,B cell,T cell\r\nGAPDH,1.5,2\r\nCD3E,0,3.25\r\nMS4A1,10,0\r\n"
    assert is_expected(read_signature_table(table(text)))


def test_gzip(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(
        gzip.compress(b"gene\tB cell\tT cell\nGAPDH\t1.5\t2\nCD3E\t0\t3.25\nMS4A1\t10\t0\n")
    )
    assert is_expected(read_signature_table(path))


def test_a_gene_called_nan_is_a_gene(table):
    assert list(read_signature_table(table("g,B\nNAN,1\nNA,2\n")).index) == ["NAN", "NA"]


def test_different_lines_of_a_gene_are_summed(table):
    with pytest.warns(UserWarning, match=r"1 genes have several different lines.*summed: A\."):
        found = read_signature_table(table("g,B,T\nA,1,2\nC,5,5\nA,10,20\n"))
    assert list(found.index) == ["A", "C"]
    np.testing.assert_array_equal(found.to_numpy(), [[11, 22], [5, 5]])


def test_equal_lines_of_a_gene_are_taken_once(table, recwarn):
    found = read_signature_table(table("g,B,T\nA,1,2\nC,5,5\nA,1,2\n"))
    np.testing.assert_array_equal(found.to_numpy(), [[1, 2], [5, 5]])
    assert not [w for w in recwarn if "summed" in str(w.message)]


def refused(path, *, says, names=""):
    with pytest.raises(InputError) as caught:
        read_signature_table(path)
    assert says in caught.value.problem
    assert str(path) in caught.value.where
    assert names in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("high", 'is not a number: "high"'),
        ("", "A cell is empty"),
        ("NA", 'is not a number: "NA"'),
        ("-0.5", 'is negative: "-0.5"'),
        ("inf", 'is not a number: "inf"'),
        ("1.000.000", "is not a number"),
        ("1e400", 'is not a number: "1e400"'),
        ("1e300", 'is beyond any count: "1e300"'),
        ("１２", "is not a number"),
        ("True", "is not a number"),
        ("A" * 100_000, "is not a number"),
    ],
)
def test_bad_cell_is_named_by_row_and_column(table, cell, says):
    path = table(f"g,B,T\nA,1,2\nC,5,{cell}\nD,1,1\n")
    refused(path, says=says, names="row C, column T")


def test_messages_stay_short(table):
    long = "A" * 100_000
    for text in (f"g,B,{long}\n{long},1,x\n", f"g,{long},{long}\nA,1,2\n", f"g,{long},T\nA,1,2\n"):
        with pytest.raises(InputError) as caught:
            read_signature_table(table(text))
        assert len(str(caught.value)) < 1000


def test_quotation_mark_without_a_partner(table):
    refused(table('g,"B,T\nA,1,2\nC,2,3\n'), says="quotation mark in the first line")
    refused(table('g,B,T\n"A,1,2\nC,2,3\n'), says="The first line has 3 columns")
    refused(table('g,B,T\nA,1,2\n"C,2,3\nD,2,3\n'), says="cannot be read")
    refused(table('g,B,T\nA,1,2\nC,"2,3\nD,2",3\n'), says="is not a number")


def test_what_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    refused(tmp_path / "a.csv", says="it is not a file")


def test_line_that_is_too_short(table):
    refused(table("g,B,T\nA,1,2\nC,5\n"), says="A cell is empty", names="row C, column T")


def test_line_that_is_too_long(table):
    refused(table("g,B,T\nA,1,2\nC,5,6,7\n"), says="cannot be read")


def test_more_types_than_genes_look_transposed(table):
    header = ",".join(f"Gene{k}" for k in range(50))
    rows = "".join(f"type{k}," + ",".join(["1"] * 50) + "\n" for k in range(3))
    refused(table(f"type,{header}\n{rows}"), says="3 rows and 50 columns")


def test_columns_of_identifiers_look_transposed(table):
    text = "type,ENSG00000141510,ENSG00000012048\n" + "".join(f"t{k},1,2\n" for k in range(9))
    refused(table(text), says="it looks transposed")


@pytest.mark.parametrize("header", ["g,B,B", "g,B,"])
def test_types_need_names_of_their_own(table, header):
    refused(table(f"{header}\nA,1,2\nC,2,3\n"), says="without a name of their own")


@pytest.mark.parametrize("text", ["", "\n\n", "g,B,T\n"])
def test_empty_table(table, text):
    refused(table(text), says="The table is empty")


def test_no_separator(table):
    refused(table("genes\nA\nB\n"), says="no tab, comma or semicolon")


def test_binary_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(range(128, 256)) * 4)
    refused(path, says="cannot be read")


def test_missing_file(tmp_path):
    refused(tmp_path / "none.csv", says="cannot be read")


def test_truncated_gzip(tmp_path):
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(("g,B,T\n" + "A,1,2\n" * 5).encode())
    path.write_bytes(whole[:-12])
    refused(path, says="cannot be read")


@pytest.mark.tissue
def test_real_signature_against_csv(tissue):
    path = tissue / "starmap_visual_cortex" / "starmap_signature_from_same_cells_GPL3.csv"
    found = read_signature_table(path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert list(found.columns) == header[1:]
    assert list(found.index) == [row[0] for row in rows]
    truth = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_allclose(found.to_numpy(), truth, rtol=1e-14)
