"""Read an AnnData element by element, believing nothing that a file says of itself.

A file may be damaged, newer than what reads it, or made to harm. So links and values that are
in other files are not followed, sizes are checked before memory is asked for, and indices of
sparse matrices before anything is computed with them. What cannot be read is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

DEEPEST = 32
"""Groups within groups; more are a circle or an attack."""

UNSUSPICIOUS = 1 << 20
"""Bytes of an array that need not be looked at."""

SURELY_FITS = 1 << 28
"""Bytes of an array that are read however small the file."""

BEST_COMPRESSION = 200
"""How many times larger than the whole file an array may be."""

INDICES_AT_ONCE = 1 << 24

SPARSE = ("csr_matrix", "csc_matrix")
SPARSE_PARTS = ("data", "indices", "indptr")


class Unreadable(Exception):
    """An element that cannot be read; the text says why."""


class Elements:
    """Reads elements of an open file, and notes which could not be read.

    Parameters
    ----------
    file
        Open for reading.

    Attributes
    ----------
    left_out : dict of str to str
        Place and reason of what could not be read.
    """

    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.left_out: dict[str, str] = {}
        self._largest = max(SURELY_FITS, BEST_COMPRESSION * int(file.id.get_filesize()))

    def read(self, group: h5py.Group, name: str, *, shape: tuple[int | None, ...] = ()) -> Any:
        """Read an element of a group.

        Parameters
        ----------
        group, name
            Where it is.
        shape
            What its first dimensions have to be; None for any.

        Raises
        ------
        Unreadable
            If it cannot be read.
        """
        return self._guarded(self._value, group, name, shape)

    def read_all(
        self, group: h5py.Group, name: str, *, shape: tuple[int | None, ...] = ()
    ) -> dict[str, Any]:
        """Read what can be read of a group of elements; nothing when there is no such group.

        Parameters
        ----------
        group, name
            Where it is.
        shape
            What the first dimensions of each have to be; None for any.
        """
        found: dict[str, Any] = {}
        if name not in group:
            return found
        try:
            inside = _child(group, name)
            if not isinstance(inside, h5py.Group):
                raise Unreadable("it is an array, not a group of entries")
            names = list(inside)
        except Exception as fault:
            self.left_out[_place(group, name)] = first_line(fault)
            return found
        for key in names:
            try:
                found[key] = self.read(inside, key, shape=shape)
            except Unreadable as fault:
                self.left_out[_place(inside, key)] = str(fault)
        return found

    def check(self, group: h5py.Group, name: str, *, shape: tuple[int | None, ...] = ()) -> None:
        """Check everything beneath an element without reading it whole.

        Parameters
        ----------
        group, name
            Where it is.
        shape
            What its first dimensions have to be; None for any.

        Raises
        ------
        Unreadable
            If something is not to be read.
        """
        self._guarded(self._check, group, name, shape)

    def _guarded(
        self,
        work: Callable[[Any, int], Any],
        group: h5py.Group,
        name: str,
        shape: tuple[int | None, ...],
    ) -> Any:
        try:
            element = _child(group, name)
            _check_shape(element, shape)
            return work(element, 0)
        except Unreadable:
            raise
        except Exception as fault:  # anything can be wrong, and every library says it otherwise
            raise Unreadable(first_line(fault)) from fault

    def _value(self, element: Any, depth: int) -> Any:
        if isinstance(element, h5py.Dataset):
            self._check(element, depth)
            return _native(_read_elem(element))
        kind = _encoding(element)
        if kind in SPARSE:
            return self._sparse(element, kind)
        if kind == "dataframe" and "__categories" not in element:
            return self._frame(element, depth)
        if kind in ("", "dict"):
            return self._items(element, depth)
        self._check(element, depth)
        return _read_elem(element)

    def _items(self, group: h5py.Group, depth: int) -> dict[str, Any]:
        if depth >= DEEPEST:
            raise Unreadable(f"it is nested more than {DEEPEST} deep")
        found = {}
        for name in group:
            try:
                found[name] = self._value(_child(group, name), depth + 1)
            except Exception as fault:
                self.left_out[_place(group, name)] = first_line(fault)
        return found

    def _frame(self, group: h5py.Group, depth: int) -> pd.DataFrame:
        index_name = _text(group.attrs["_index"])
        index = pd.Index(self._value(_child(group, index_name), depth + 1))
        columns = {}
        for name in map(_text, np.atleast_1d(group.attrs["column-order"])):
            try:
                element = _child(group, name)
                if isinstance(element, h5py.Dataset):
                    _check_shape(element, (len(index),))
                column = self._value(element, depth + 1)
                if np.shape(column) != (len(index),):
                    raise Unreadable(f"it does not have a value for each of {len(index)} rows")
                columns[name] = pd.Series(column, index=index)
            except Exception as fault:
                self.left_out[_place(group, name)] = first_line(fault)
        frame = pd.DataFrame({name: column.array for name, column in columns.items()}, index=index)
        if index_name != "_index":
            frame.index.name = index_name
        return frame

    def _sparse(self, group: h5py.Group, kind: str) -> Any:
        parts = [_child(group, name) for name in SPARSE_PARTS]
        for part in parts:
            self._check(part, DEEPEST - 1)
        data, indices, indptr = (_native(part[()]) for part in parts)
        _check_sparse(group, data, indices, indptr)
        narrow = np.int32 if len(data) <= np.iinfo(np.int32).max else np.int64
        matrix = (sparse.csr_matrix if kind == "csr_matrix" else sparse.csc_matrix)(
            _sparse_shape(group)
        )
        # Not by the constructor, which refuses half precision.
        matrix.data = data
        matrix.indices = indices.astype(narrow, copy=False)
        matrix.indptr = indptr.astype(narrow, copy=False)
        return matrix

    def _check(self, element: Any, depth: int) -> None:
        if depth >= DEEPEST:
            raise Unreadable(f"it is nested more than {DEEPEST} deep")
        if isinstance(element, h5py.Dataset):
            self._check_dataset(element)
            return
        for name in element:
            self._check(_child(element, name), depth + 1)
        if _encoding(element) in SPARSE:
            _check_sparse(element, *(element[part] for part in SPARSE_PARTS))

    def _check_dataset(self, dataset: h5py.Dataset) -> None:
        if dataset.is_virtual or dataset.external:
            raise Unreadable("its values are in another file, which is not opened")
        if h5py.check_ref_dtype(dataset.dtype) is not None:
            raise Unreadable("it holds references, not values")
        if dataset.shape is None:
            return
        declared = int(math.prod(dataset.shape)) * dataset.dtype.itemsize
        if declared <= UNSUSPICIOUS:
            return
        if dataset.chunks is None:
            stored = int(dataset.id.get_storage_size())
        else:
            chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
            stored = int(dataset.id.get_num_chunks()) * chunk
        if stored < declared or declared > self._largest:
            raise Unreadable(
                f"it claims to be {declared / 1e9:,.3g} GB, which the file does not hold"
            )


def first_line(fault: BaseException) -> str:
    """Return what an exception says, in a line."""
    lines = [line for line in str(fault).splitlines() if line.strip()]
    return lines[0].strip()[:300] if lines else type(fault).__name__


def _child(group: h5py.Group, name: str) -> Any:
    """Return an element, and nothing that is anywhere else."""
    element = group
    for part in name.split("/"):
        if part in ("", ".") or not isinstance(element, h5py.Group):
            raise Unreadable(f"its name {name!r} is a path")
        link = element.get(part, getlink=True)
        if link is None:
            raise Unreadable("it is not there")
        if isinstance(link, h5py.ExternalLink):
            raise Unreadable(f"it is a link to the file {link.filename}, which is not opened")
        if isinstance(link, h5py.SoftLink):
            raise Unreadable(f"it is a link to {link.path}, which is not followed")
        element = element[part]
    if not isinstance(element, h5py.Group | h5py.Dataset):
        raise Unreadable("it is a type, not values")
    return element


def _encoding(group: h5py.Group) -> str:
    if "h5sparse_format" in group.attrs:  # before anndata 0.7
        return f"{_text(group.attrs['h5sparse_format'])}_matrix"
    return _text(group.attrs.get("encoding-type", ""))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _place(group: h5py.Group, name: str) -> str:
    """Return how an AnnData user calls an element: ``obsm["spatial"]``."""
    first, *rest = [*(part for part in str(group.name).split("/") if part), name]
    return first + "".join(f'["{part}"]' for part in rest)


def _shape_of(element: Any) -> tuple[int, ...] | None:
    if isinstance(element, h5py.Dataset):
        return element.shape or ()
    if _encoding(element) in SPARSE:
        return _sparse_shape(element)
    return None


def _check_shape(element: Any, wanted: tuple[int | None, ...]) -> None:
    shape = _shape_of(element)
    if shape is None:
        return
    fits = len(shape) >= len(wanted) and all(
        size in (None, there) for size, there in zip(wanted, shape, strict=False)
    )
    if not fits:
        sizes = " x ".join("any" if size is None else str(size) for size in wanted)
        raise Unreadable(f"its shape {shape} is not {sizes}")


def _sparse_shape(group: h5py.Group) -> tuple[int, int]:
    values = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    sizes = np.atleast_1d(np.asarray(values))
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or (sizes.astype(object) < 0).any():
        raise Unreadable("its shape is not two whole numbers")
    return int(sizes[0]), int(sizes[1])


def _check_sparse(group: h5py.Group, data: Any, indices: Any, indptr: Any) -> None:
    """Refuse indices that would make compiled code read outside the matrix.

    ``data`` and the others are arrays, or datasets that are looked at piece by piece.
    """
    rows, columns = _sparse_shape(group)
    major, minor = (rows, columns) if _encoding(group) == "csr_matrix" else (columns, rows)
    sound = (
        indices.dtype.kind in "iu"
        and indptr.dtype.kind in "iu"
        and data.dtype.kind in "biuf"
        and indptr.shape == (major + 1,)
        and data.shape == indices.shape
        and len(indices.shape) == 1
        and _starts_fit(indptr[()], indices.shape[0])
        and all(int(piece.min()) >= 0 and int(piece.max()) < minor for piece in _pieces(indices))
    )
    if not sound:
        raise Unreadable("its indices do not fit its shape, so its values may be anywhere")


def _starts_fit(indptr: NDArray[Any], stored: int) -> bool:
    return bool(
        int(indptr[0]) == 0 and int(indptr[-1]) == stored and (indptr[1:] >= indptr[:-1]).all()
    )


def _pieces(indices: Any) -> Iterator[NDArray[Any]]:
    for start in range(0, indices.shape[0], INDICES_AT_ONCE):
        yield indices[start : start + INDICES_AT_ONCE]


def _native(value: Any) -> Any:
    """Return an array in the byte order of this machine, which compiled code wants."""
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    return value


def _read_elem(element: Any) -> Any:
    try:
        from anndata.io import read_elem
    except ImportError:  # before anndata 0.11
        from anndata.experimental import read_elem
    return read_elem(element)
