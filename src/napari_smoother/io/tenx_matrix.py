"""Count matrices as Cell Ranger and Space Ranger write them: one ``.h5``, or a folder of three.

Read directly with h5py and scipy, which takes less time than importing scanpy alone.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from scipy import io as scipy_io
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_elements import Elements, Unreadable

if TYPE_CHECKING:
    from pathlib import Path

GENE_EXPRESSION = "Gene Expression"
"""The feature type of genes; others are antibodies, CRISPR guides and custom features."""

COPY_AGAIN = "Copy or download the file again"

DENSEST = 300
"""Values that a byte of a gzipped text file may hold at most."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMatrix:
    """Barcodes x features as they stand in the file, all feature types.

    Parameters
    ----------
    values
        Barcodes x features, CSR, in the number type of the file.
    barcodes
        One a row.
    symbols
        Gene symbol (or feature name), one a column; not necessarily unique.
    gene_ids
        Ensembl identifier (or feature id), one a column.
    feature_types
        One a column; all ``"Gene Expression"`` in files older than the notion.
    """

    values: sparse.csr_matrix
    barcodes: pd.Index[str]
    symbols: pd.Index[str]
    gene_ids: pd.Index[str]
    feature_types: pd.Index[str]

    def genes_only(self) -> FeatureMatrix:
        """Leave out antibodies, guides and custom features."""
        genes = np.asarray(self.feature_types == GENE_EXPRESSION)
        if genes.all():
            return self
        return FeatureMatrix(
            values=self.values[:, genes],
            barcodes=self.barcodes,
            symbols=self.symbols[genes],
            gene_ids=self.gene_ids[genes],
            feature_types=self.feature_types[genes],
        )


def read_matrix(path: Path) -> FeatureMatrix:
    """Read a feature-barcode matrix, whichever of its two forms it has.

    Parameters
    ----------
    path
        The ``.h5`` file, or the ``matrix.mtx`` (gzipped or not) that has the lists of barcodes
        and features beside it.

    Returns
    -------
    FeatureMatrix

    Raises
    ------
    InputError
        If the file is truncated, of another kind, or does not fit its lists.
    """
    if path.suffix == ".h5":
        return _read_h5(path)
    return _read_mtx(path)


def _read_h5(path: Path) -> FeatureMatrix:
    try:
        with h5py.File(path, "r") as file:
            elements = Elements(file)
            if "matrix" in file:
                group = file["matrix"]
                features = group["features"]
                names = [(features, "name"), (features, "id"), (features, "feature_type")]
            else:  # the layout of Cell Ranger 1 and 2: one group a genome
                group = _only_genome(file, path)
                names = [(group, "gene_names"), (group, "genes")]
            shape = _whole(elements, group, "shape", 2)
            n_features, n_barcodes = (int(size) for size in shape)
            texts = [_text(elements, *name, n_features) for name in names]
            barcodes = _text(elements, group, "barcodes", n_barcodes)
            indptr = _whole(elements, group, "indptr", n_barcodes + 1)
            n_values = int(indptr[-1])
            indices = _whole(elements, group, "indices", n_values)
            data = _array(elements, group, "data", n_values)
    except InputError:
        raise
    except Exception as fault:  # anything can be wrong, and every library says it otherwise
        raise InputError(
            f"The count matrix cannot be read: {_first_line(fault)}",
            where=str(path),
            remedy=f"{COPY_AGAIN}; it has to be a feature-barcode matrix of Space Ranger",
        ) from fault
    _check_structure(data, indices, indptr, n_features, n_barcodes, path)
    values = sparse.csr_matrix(
        (data, _narrow(indices, data.size), _narrow(indptr, data.size)),
        shape=(n_barcodes, n_features),
    )
    symbols, gene_ids, *feature_types = texts
    return _assemble(values, barcodes, symbols, gene_ids, next(iter(feature_types), None), path)


def _check(elements: Elements, group: h5py.Group, name: str, size: int) -> None:
    try:
        elements.check(group, name, shape=(size,))
    except Unreadable as fault:
        raise Unreadable(f"{name}: {fault}") from fault


def _array(elements: Elements, group: h5py.Group, name: str, size: int) -> Any:
    """Read numbers, once their size is known to be right."""
    _check(elements, group, name, size)
    if group[name].dtype.kind not in "biuf":
        raise Unreadable(f"{name} is of the type {group[name].dtype}, not numbers")
    return group[name][:]


def _whole(elements: Elements, group: h5py.Group, name: str, size: int) -> Any:
    array = _array(elements, group, name, size)
    if array.dtype.kind not in "iu":
        raise Unreadable(f"{name} is of the type {array.dtype}, not whole numbers")
    return array


def _only_genome(file: h5py.File, path: Path) -> h5py.Group:
    genomes = [name for name, item in file.items() if isinstance(item, h5py.Group)]
    genomes = [name for name in genomes if "barcodes" in file[name]]
    if len(genomes) != 1:
        found = ", ".join(genomes) or "none"
        raise InputError(
            f"One matrix is expected, this file has: {found}",
            where=str(path),
            remedy="Open a feature-barcode matrix of Space Ranger with one genome",
        )
    return file[genomes[0]]


def _read_mtx(path: Path) -> FeatureMatrix:
    prefix, _, ending = path.name.rpartition("matrix.mtx")
    barcodes_path = _beside(path, prefix, ("barcodes.tsv",), ending)
    features_path = _beside(path, prefix, ("features.tsv", "genes.tsv"), ending)
    barcodes = _read_list(barcodes_path)
    features = _read_list(features_path)
    if features.shape[1] < 2:
        raise InputError(
            "The list of features has one column; two are expected, identifier and name",
            where=str(features_path),
            remedy=COPY_AGAIN,
        )
    try:
        _check_header(path, len(features), len(barcodes))
        columns = scipy_io.mmread(path)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error) as fault:
        raise InputError(
            f"The count matrix cannot be read: {_first_line(fault)}",
            where=str(path),
            remedy=COPY_AGAIN,
        ) from fault
    return _assemble(
        sparse.csr_matrix(columns.T),
        pd.Index(barcodes[0]),
        pd.Index(features[1]),
        pd.Index(features[0]),
        pd.Index(features[2]) if features.shape[1] > 2 else None,
        path,
    )


def _check_header(path: Path, n_features: int, n_barcodes: int) -> None:
    """Refuse a matrix of another size before memory is asked for."""
    rows, columns, entries, *_ = scipy_io.mminfo(path)
    if (rows, columns) != (n_features, n_barcodes):
        raise _unequal(columns, rows, n_barcodes, n_features, path)
    if entries > DENSEST * path.stat().st_size:
        raise ValueError(f"it claims to have {entries} values, which the file does not hold")


def _beside(path: Path, prefix: str, names: tuple[str, ...], ending: str) -> Path:
    """Find a list that belongs to a matrix: same prefix, gzipped or not."""
    for name in names:
        for end in (ending, ".gz", ""):
            candidate = path.with_name(f"{prefix}{name}{end}")
            if candidate.is_file():
                return candidate
    raise InputError(
        f"{prefix}{names[0]} is missing beside the matrix",
        where=str(path.parent),
        remedy="Copy the whole matrix folder: matrix, barcodes and features",
    )


def _read_list(path: Path) -> pd.DataFrame:
    """Read a headless tab-separated list, every cell as text."""
    try:
        return pd.read_csv(
            path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3
        )
    except (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as fault:
        raise InputError(
            f"The list cannot be read: {_first_line(fault)}", where=str(path), remedy=COPY_AGAIN
        ) from fault


def _assemble(
    values: sparse.csr_matrix,
    barcodes: pd.Index[str],
    symbols: pd.Index[str],
    gene_ids: pd.Index[str],
    feature_types: pd.Index[str] | None,
    path: Path,
) -> FeatureMatrix:
    if feature_types is None:
        feature_types = pd.Index([GENE_EXPRESSION] * len(symbols))
    lengths = (len(barcodes), len(symbols), len(gene_ids), len(feature_types))
    n_barcodes, n_features = values.shape
    if lengths != (n_barcodes, n_features, n_features, n_features):
        raise _unequal(n_barcodes, n_features, len(barcodes), len(symbols), path)
    return FeatureMatrix(values, barcodes, symbols, gene_ids, feature_types)


def _unequal(
    n_barcodes: int, n_features: int, barcodes: int, features: int, path: Path
) -> InputError:
    return InputError(
        f"The matrix has {n_barcodes} barcodes and {n_features} features, its lists name "
        f"{barcodes} and {features}",
        where=str(path),
        remedy="Take the matrix and its lists of barcodes and features from the same run",
    )


def _check_structure(
    data: Any, indices: Any, indptr: Any, n_features: int, n_barcodes: int, path: Path
) -> None:
    """Refuse row pointers and columns that would make scipy read outside the matrix."""
    sound = (
        indptr.shape == (n_barcodes + 1,)
        and data.shape == indices.shape == (int(indptr[-1]),)
        and int(indptr[0]) == 0
        and bool((np.diff(indptr) >= 0).all())
        and (not indices.size or (int(indices.min()) >= 0 and int(indices.max()) < n_features))
    )
    if not sound:
        raise InputError(
            "The count matrix contradicts itself: its indices do not fit its shape",
            where=str(path),
            remedy=COPY_AGAIN,
        )


def _narrow(indices: Any, n_values: int) -> Any:
    """Store indices in 32 bits where they fit: half the memory, and what the solvers take."""
    fits = n_values <= np.iinfo(np.int32).max
    return indices.astype(np.int32, copy=False) if fits else indices.astype(np.int64, copy=False)


def _text(elements: Elements, group: h5py.Group, name: str, size: int) -> pd.Index[str]:
    _check(elements, group, name, size)
    dataset = group[name]
    if dataset.dtype.kind == "S":
        return pd.Index(np.char.decode(dataset[:], "utf-8"), dtype=object)
    texts: pd.Index[str] = pd.Index(dataset.asstr()[:], dtype=object)
    return texts


def _first_line(fault: BaseException) -> str:
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
