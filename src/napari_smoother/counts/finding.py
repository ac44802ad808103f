"""Find the counts in an AnnData, wherever its maker keeps them.

One search for sections, references, library and window, so that the same file gives the same
numbers whoever asks.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.counts.logarithm import restore_counts
from napari_smoother.counts.origin import CountsOrigin, Kind
from napari_smoother.counts.rows import (
    ROWS_PER_CHUNK,
    SomeColumns,
    csr_chunks,
    float_rows,
    readable_by_rows,
)
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

COUNT_LAYERS = re.compile(
    r"((raw|umi|x|rna|gene)[ _.-]?)?counts?([ _.-]?(raw|umi|matrix))?|raw([ _.-]?data)?|umis?"
)
"""Names of layers that say they hold counts, lower case."""

PARTIAL_LAYERS = frozenset(
    {"spliced", "unspliced", "ambiguous", "mature", "nascent", "intronic", "exonic"}
)
"""Layers of whole numbers that are only a part of the counts."""

GENE_TYPES = re.compile(r"gene[ _]?expression|gex|genes?|m?rna|transcripts?")
"""Feature types that are genes, lower case; others are antibodies, guides, controls, peaks."""

BASES = (math.e, 2.0, 10.0)
"""Of the logarithms that are undone, the usual one first."""

VALUES_AT_ONCE = 1 << 22
SAMPLED_ROWS = 512
SAMPLED_BLOCKS = 8
CONVINCING = 20.0
"""Evidence (see `Restored`) from which values are logarithms of counts: odds of 5e8 to 1."""
FEWEST_WHOLE = 0.98
"""Share of sampled rows that have to be whole."""
LARGEST_LOGARITHM = 20.0
"""More is no logarithm of an expression: log2 of one plus a million is 19.9."""
STEEPEST_LOGARITHM = 8.0
"""Largest value over mean positive value, above which values look linear."""
CONSTANT_TOTAL = 0.02
"""Relative spread of the totals of cells below which they were brought to one total."""

REMEDY = (
    'Keep the raw counts in X, in layers["counts"] or in raw; scaled or centred values cannot be '
    "used"
)


@dataclass(frozen=True, eq=False)
class FoundCounts:
    """Counts and the genes they belong to.

    Parameters
    ----------
    matrix
        Observations x genes, as stored: sparse, dense or backed by a file.
    var
        One row a gene, in the order of the columns.
    origin
        Where they were found and how they are read.
    left_out
        Feature types that are not genes, with how many there are of each.
    """

    matrix: Any
    var: pd.DataFrame
    origin: CountsOrigin
    left_out: tuple[tuple[str, int], ...] = ()

    def chunks(self, rows: int = ROWS_PER_CHUNK) -> Iterator[sparse.csr_matrix]:
        """Read observations x genes a few thousand rows at a time.

        Yields
        ------
        scipy.sparse.csr_matrix
            float64: whole counts, or normalised values on the linear scale. A copy.

        Warns
        -----
        UserWarning
            At the end, if there were rows that could not be brought back to whole numbers.
        """
        base = self.origin.base
        fractional = 0
        for chunk in csr_chunks(self.matrix, rows):
            if base is not None and self.origin.kind == "restored":
                restored = restore_counts(chunk, base, _precision(self.matrix))
                fractional += int((~restored.whole).sum())
                yield restored.counts
                continue
            if base is not None:
                chunk.data = np.expm1(chunk.data * np.log(base))
            yield chunk
        if fractional:
            warnings.warn(
                f"{fractional} of {self.matrix.shape[0]} rows of {self.origin.place} are not "
                f"whole numbers once {self.origin.logarithm} is undone: their shares hold, "
                "their totals do not.",
                stacklevel=2,
            )

    @property
    def columns(self) -> NDArray[np.intp] | None:
        """Columns of the matrix as it is stored that are genes; None for all."""
        return self.matrix.columns if isinstance(self.matrix, SomeColumns) else None

    def read(self) -> Any:
        """Read all observations x genes.

        Returns
        -------
        array or scipy matrix
            The matrix as it is stored where nothing is to be undone or left out; else float64 CSR.
        """
        if self.origin.base is None and not isinstance(self.matrix, SomeColumns):
            return self.matrix
        return sparse.vstack(list(self.chunks()), format="csr")


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A matrix that may hold counts; see `FoundCounts`."""

    place: str
    matrix: Any
    var: pd.DataFrame
    places: tuple[str, ...]
    left_out: tuple[tuple[str, int], ...] = ()

    def found(self, kind: Kind, base: float | None = None) -> FoundCounts:
        origin = CountsOrigin(self.place, kind, base, self.places)
        return FoundCounts(self.matrix, self.var, origin, self.left_out)


def find_counts(
    adata: AnnData,
    *,
    where: str,
    layer: str | None = None,
    all_features: bool = False,
) -> FoundCounts:
    """Find the counts of an AnnData.

    Whole numbers win: looked for in layers whose names say counts (``counts``, ``raw_counts``,
    ``umi``, ...), in ``X``, which may hold whole numbers that are none (binarised, rounded), in
    ``raw.X``, and in other layers that have values where ``X`` has. Without any, the first of
    them is taken whose values are log1p, log2 or log10 of whole numbers times a factor of the
    cell, which is undone. Without that, the first that has no negative values, as normalised
    expression. A name alone decides nothing, and a matrix without a value is passed over.

    Features whose ``var["feature_types"]`` is not gene expression (antibodies, guides, controls)
    are left out.

    Parameters
    ----------
    adata
        Observations x features.
    where
        What to call it in messages.
    layer
        The matrix to take: ``"X"``, ``"raw"`` or the name of a layer.
    all_features
        Whether antibodies, guides and the like count as genes too.

    Returns
    -------
    FoundCounts
        The matrix as it is stored, not copied.

    Raises
    ------
    InputError
        If there is no such layer, or nothing in it can be read as expression.

    Warns
    -----
    UserWarning
        If no counts were found and normalised values are taken instead, and if features are left
        out.
    """
    found = _best(adata, where, layer, all_features)
    if found.left_out:
        kinds = ", ".join(f"{count} {name or 'unnamed'}" for name, count in found.left_out)
        warnings.warn(
            f"Of {where}, features that are not gene expression are left out: {kinds}.",
            stacklevel=2,
        )
    if found.origin.kind == "normalised":
        warnings.warn(f"In {where} {found.origin.consequence}.", stacklevel=2)
    return found


def _best(adata: AnnData, where: str, layer: str | None, all_features: bool) -> FoundCounts:
    candidates = _candidates(adata) if layer is None else iter([_chosen(adata, layer, where)])
    flaws: dict[str, str] = {}
    usable: list[_Candidate] = []
    empty: list[_Candidate] = []
    for candidate in candidates:
        genes = candidate if all_features else _genes_of(candidate)
        if _are_whole(genes.matrix):
            if _has_values(genes.matrix):
                return genes.found("counts")
            empty.append(genes)
        elif flaw := _flaw(genes.matrix):
            flaws[genes.place] = flaw
        else:
            usable.append(genes)
    for candidate in usable:
        for base in BASES:
            if _is_restored(candidate.matrix, base):
                return candidate.found("restored", base)
    if usable:
        return usable[0].found("normalised", _logarithm_of(usable[0].matrix, adata.uns))
    if empty:
        return empty[0].found("counts")
    if not flaws:
        raise InputError("There are no counts: X is empty", where=where, remedy=REMEDY)
    looked = "; ".join(f"{place} {flaw}" for place, flaw in flaws.items())
    raise InputError(f"No counts were found: {looked}", where=where, remedy=REMEDY)


def _places(adata: AnnData) -> dict[str, _Candidate]:
    """Name all matrices of an AnnData that may hold counts."""
    found = [] if adata.X is None else [("X", adata.X, adata.var)]
    found += [(f'layers["{name}"]', adata.layers[name], adata.var) for name in adata.layers]
    found += [] if adata.raw is None else [("raw.X", adata.raw.X, adata.raw.var)]
    places = tuple(place for place, _, _ in found)
    return {place: _Candidate(place, matrix, var, places) for place, matrix, var in found}


def _candidates(adata: AnnData) -> Iterator[_Candidate]:
    """Give the matrices that may hold counts, in the order they are asked."""
    there = _places(adata)
    names = {f'layers["{name}"]': str(name).strip().lower() for name in adata.layers}
    said = [place for place, name in names.items() if COUNT_LAYERS.fullmatch(name)]
    yield from (there[place] for place in (*said, "X", "raw.X") if place in there)
    for place, name in names.items():
        if place in said or name in PARTIAL_LAYERS:
            continue
        if adata.X is None or _agree(there[place].matrix, adata.X):
            yield there[place]


def _chosen(adata: AnnData, layer: str, where: str) -> _Candidate:
    there = _places(adata)
    for place in (f'layers["{layer}"]', layer, "raw.X" if layer == "raw" else layer):
        if place in there:
            return there[place]
    raise InputError(
        f'There is no layer "{layer}"; there are: {", ".join(there) or "none"}',
        where=f"{where}, layers",
        remedy="Choose the one that holds raw counts",
    )


def _agree(matrix: Any, x: Any) -> bool:
    """Whether a layer has values where ``X`` has, judged by some rows; dense ``X`` is no judge."""
    ours, theirs = _sample(matrix), _sample(x)
    if theirs.nnz == np.prod(theirs.shape) or (theirs.data < 0).any():
        return True
    for rows in (ours, theirs):
        rows.eliminate_zeros()
        rows.sort_indices()
    return bool(
        np.array_equal(ours.indptr, theirs.indptr) and np.array_equal(ours.indices, theirs.indices)
    )


def _genes_of(candidate: _Candidate) -> _Candidate:
    """Leave out features that are not genes, where their types are known."""
    types = _feature_types(candidate.var)
    if types is None:
        return candidate
    lowered = types.str.strip().str.lower()
    genes = lowered.map(lambda name: GENE_TYPES.fullmatch(name) is not None).to_numpy(bool)
    if genes.all() or not genes.any():
        return candidate
    others = types[~genes].value_counts()
    return _Candidate(
        candidate.place,
        SomeColumns(candidate.matrix, np.flatnonzero(genes)),
        candidate.var[genes],
        candidate.places,
        tuple((str(name), int(count)) for name, count in others.items()),
    )


def _feature_types(var: pd.DataFrame) -> pd.Series[str] | None:
    for column in var:
        if re.fullmatch(r"feature[ _.]?types?", str(column).strip().lower()):
            return var[column].astype(object).where(var[column].notna(), "").astype(str)
    return None


def _values(matrix: Any) -> Iterator[NDArray[Any]]:
    """Read the stored values of a matrix a few at a time, each once."""
    in_memory: bool = sparse.issparse(matrix)
    if in_memory or isinstance(matrix, np.ndarray):
        stored: Any = matrix
        if in_memory and stored.format not in ("csr", "csc"):
            stored = stored.tocsr()
        values = np.asarray(stored.data if in_memory else stored).reshape(-1)
        for start in range(0, values.size, VALUES_AT_ONCE):
            yield values[start : start + VALUES_AT_ONCE]
    else:
        for chunk in csr_chunks(matrix):
            yield chunk.data


def _are_whole(matrix: Any) -> bool:
    """Whether all are whole numbers from zero up; missing and infinite values are none."""
    kind = np.dtype(matrix.dtype).kind
    if kind in "bu":
        return True
    if kind not in "if":
        return False
    return all(
        bool(((part >= 0) & (part < np.inf) & (part == np.floor(part))).all())
        for part in _values(matrix)
    )


def _has_values(matrix: Any) -> bool:
    return any(bool(part.any()) for part in _values(matrix))


def _flaw(matrix: Any) -> str:
    """Say what keeps values from being expression; nothing when they may be."""
    if np.dtype(matrix.dtype).kind not in "biuf":
        return f"is of the type {matrix.dtype}, not numbers"
    lost, negative, lowest = 0, 0, 0.0
    for part in _values(matrix):
        finite = np.isfinite(part)
        if not finite.all():
            lost += int((~finite).sum())
            part = part[finite]
        if part.size and part.min() < 0:
            negative += int((part < 0).sum())
            lowest = min(lowest, float(part.min()))
    if lost:
        return f"has {lost} values that are missing or infinite"
    if negative:
        return f"has {negative} negative values, the lowest {lowest:.4g}: looks like scaled data"
    return ""


def _sample(matrix: Any) -> sparse.csr_matrix:
    """Take some rows from all over a matrix, float64 CSR."""
    matrix = readable_by_rows(matrix)
    n_rows = matrix.shape[0]
    if n_rows <= SAMPLED_ROWS:
        return float_rows(matrix, 0, n_rows)
    size = SAMPLED_ROWS // SAMPLED_BLOCKS
    starts = np.linspace(0, n_rows - size, SAMPLED_BLOCKS).astype(int)
    sampled: sparse.csr_matrix = sparse.vstack(
        [float_rows(matrix, start, start + size) for start in starts], format="csr"
    )
    return sampled


def _is_restored(matrix: Any, base: float) -> bool:
    """Whether undoing a logarithm of this base gives whole numbers."""
    rows = _sample(matrix)
    if rows.nnz == 0 or rows.data.max() > LARGEST_LOGARITHM:
        return False
    found = restore_counts(rows, base, _precision(matrix))
    return found.evidence >= CONVINCING and float(found.whole.mean()) >= FEWEST_WHOLE


def _precision(matrix: Any) -> float:
    """Relative spacing of the numbers that values are stored in."""
    is_half = np.dtype(matrix.dtype) == np.float16
    return float(np.finfo(np.float16 if is_half else np.float32).eps)


def _logarithm_of(matrix: Any, uns: Any) -> float | None:
    """Guess the base of the logarithm of normalised values; None where they look linear."""
    rows = _sample(matrix)
    rows.eliminate_zeros()
    if rows.nnz == 0 or rows.data.max() > LARGEST_LOGARITHM:
        return None
    for base in BASES:
        linear = rows.copy()
        linear.data = np.expm1(linear.data * np.log(base))
        totals = np.asarray(linear.sum(axis=1)).ravel()
        totals = totals[totals > 0]
        if totals.size > 1 and totals.std() <= CONSTANT_TOTAL * totals.mean():
            return base
    noted = uns.get("log1p")
    if noted is not None:
        given = noted.get("base") if hasattr(noted, "get") else None
        return BASES[0] if given is None else float(np.ravel(given)[0])
    steep = rows.data.max() > STEEPEST_LOGARITHM * rows.data.mean()
    return None if steep else BASES[0]
