"""What every cell type expresses: from annotated single cells, or from a table."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.counts.finding import find_counts
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.cell_spread import RANDOM_SUMS, CellSpread
from napari_smoother.models.deconv.gene_names import alternative_names
from napari_smoother.models.deconv.named_genes import fully_named

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.counts.finding import FoundCounts
    from napari_smoother.counts.origin import CountsOrigin
    from napari_smoother.models.deconv.composition import Shares

PER_CELL = 1e4
"""The total every cell, and every column of a table, is brought to."""

FEWEST_CELLS = 2
"""A type with fewer cells has no mean worth the name."""

MISSING_LABELS = frozenset({"", "NA", "N/A", "NaN", "nan", "None", "none", "<NA>"})


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Mean expression of every cell type.

    Parameters
    ----------
    name
        What the user calls it.
    types
        Names of the K cell types, in the order of the columns.
    genes
        Names of the G genes, in the order of the rows, as the reference spells them.
    mean_counts
        G x K, float64: mean counts per ten thousand, on the linear scale.
    mean_log
        G x K, float64: mean of log1p of counts per ten thousand. For a table, log1p of its
        columns, which is all it tells.
    gene_ids
        Other names of the same genes (Ensembl identifiers beside symbols, or symbols beside
        identifiers); None when there are none.
    cells_per_type
        How many cells each mean is taken over; None for a table.
    cell_totals
        Mean total count of a cell of each type, in the reference's own units: what turns
        shares of RNA into shares of cells.
    spread
        How cells of one type differ; None for a table, and where there are no counts.
    n_dropped
        Cells that were not used: without a label, without a count, or of too rare a type.
    origin
        Where the counts of the cells were found; None for a table.
    source, cell_type
        The file it was read from and the column of its types; None where there is none.
    other_names
        Further names of the same genes.
    """

    name: str
    types: tuple[str, ...]
    genes: pd.Index[str]
    mean_counts: NDArray[np.float64]
    mean_log: NDArray[np.float64]
    gene_ids: pd.Index[str] | None = None
    cells_per_type: NDArray[np.int64] | None = None
    cell_totals: NDArray[np.float64] | None = None
    spread: CellSpread | None = None
    n_dropped: int = 0
    origin: CountsOrigin | None = None
    source: Path | None = None
    cell_type: str | None = None
    other_names: tuple[pd.Index[str], ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.genes), len(self.types))
        for array in (self.mean_counts, self.mean_log):
            if array.shape != shape:
                raise InputError(
                    f"The signature has the shape {array.shape}, not genes x types = {shape}",
                    where=self.name,
                    remedy="Give one row a gene and one column a cell type",
                )
        if len(set(self.types)) != len(self.types):
            raise InputError(
                "Two cell types have the same name",
                where=self.name,
                remedy="Rename one of them",
            )
        if not self.types:
            raise InputError(
                "There is no cell type",
                where=self.name,
                remedy="Choose a reference with at least one cell type",
            )

    @property
    def spellings(self) -> tuple[pd.Index[str], ...]:
        """Every name of every gene, those of the rows first."""
        identifiers = () if self.gene_ids is None else (self.gene_ids,)
        return self.genes, *identifiers, *self.other_names

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.genes)

    @property
    def n_types(self) -> int:
        """Number of cell types."""
        return len(self.types)

    def totals_for(self, shares: Shares) -> NDArray[np.float64] | None:
        """Return what abundances are divided by for shares of cells or of RNA, K.

        Only counted cells tell how much RNA a cell of each type holds. Without them all shares
        are shares of RNA: None.
        """
        return self.cell_totals if shares == "cells" and self.spread is not None else None

    def spread_for(self, gene_weights: object, scale: str) -> CellSpread | None:
        """Return what genes are weighed by, where they are to be weighed by noise.

        Counted cells tell it, on scales of counts. Without them noise goes with the mean: None.
        """
        asked = isinstance(gene_weights, str) and gene_weights == "within_type"
        return self.spread if asked and scale != "log1p" else None

    @classmethod
    def from_cells(
        cls, adata: AnnData, cell_type: str, name: str, *, layer: str | None = None
    ) -> Self:
        """Average annotated single cells by type.

        Every cell is brought to ten thousand counts before the mean, so that each counts as much
        as the next. The matrix is read a few thousand cells at a time and stays sparse.

        Parameters
        ----------
        adata
            Cells x genes. Counts are looked for as `find_counts` does.
        cell_type
            Column of ``adata.obs`` with the type of every cell. Cells without one are left out.
        name
            What to call the reference.
        layer
            Where the counts are: ``"X"``, ``"raw"`` or the name of a layer; None to look for them.

        Returns
        -------
        Reference

        Raises
        ------
        InputError
            If the column is missing, no counts can be found, a count is negative or not finite,
            or no type has two cells.

        Warns
        -----
        UserWarning
            If types with fewer than two cells are left out; they are named. If there are no
            counts, and normalised values are taken.
        """
        codes, types = _labels(adata, cell_type, name)
        found = find_counts(adata, where=name, layer=layer)
        by_type = _sums_by_type(found, codes, len(types))
        cells = by_type.cells
        kept = cells >= FEWEST_CELLS
        if not kept.any():
            raise InputError(
                "No cell type has two cells with counts",
                where=f'{name}, obs["{cell_type}"]',
                remedy="Choose the column that holds the cell types",
            )
        if not kept.all():
            rare = ", ".join(t for t, keep in zip(types, kept, strict=True) if not keep)
            warnings.warn(
                f"{name}: left out cell types with fewer than {FEWEST_CELLS} cells: {rare}",
                UserWarning,
                stacklevel=2,
            )
        cells_kept = cells[kept]
        mean_counts = by_type.sums[kept] / cells_kept[:, None]
        counted = found.origin.kind != "normalised"
        names = list(alternative_names(fully_named(found.var, adata)).values())
        return cls(
            name=name,
            types=tuple(t for t, keep in zip(types, kept, strict=True) if keep),
            genes=pd.Index(found.var.index.astype(str)),
            mean_counts=np.ascontiguousarray(mean_counts.T),
            mean_log=np.ascontiguousarray((by_type.logs[kept] / cells_kept[:, None]).T),
            gene_ids=names[0] if names else None,
            cells_per_type=cells_kept,
            cell_totals=by_type.totals[kept] / cells_kept if counted else None,
            spread=_spread(by_type, kept, mean_counts) if counted else None,
            n_dropped=int(adata.n_obs - cells_kept.sum()),
            origin=found.origin,
            cell_type=cell_type,
            other_names=tuple(names[1:]),
        )

    @classmethod
    def from_table(cls, table: pd.DataFrame, name: str) -> Self:
        """Take a signature that somebody else made.

        Parameters
        ----------
        table
            Genes x types on the linear scale (counts, means or transcripts per million). Each
            column is brought to a total of ten thousand.
        name
            What to call the reference.

        Returns
        -------
        Reference

        Raises
        ------
        InputError
            If the table is empty, holds text, negative or missing values, or a column of zeros.
        """
        where = f"{name}, signature table"
        if table.shape[0] == 0 or table.shape[1] == 0:
            raise InputError(
                f"The table has the shape {table.shape}, so it holds no signature",
                where=where,
                remedy="Give one row a gene and one column a cell type",
            )
        try:
            values = table.to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as fault:
            text = [str(c) for c in table if not pd.api.types.is_numeric_dtype(table[c])]
            raise InputError(
                f"The table holds text in {', '.join(text[:3])}",
                where=where,
                remedy="Keep gene names in the first column only, and numbers in the others",
            ) from fault
        _check_values(values, where)
        totals = values.sum(axis=0)
        if (totals == 0).any():
            empty = ", ".join(str(c) for c in table.columns[totals == 0][:3])
            raise InputError(
                f"Nothing is expressed in {empty}",
                where=where,
                remedy="Remove these columns",
            )
        mean_counts = values * (PER_CELL / totals)
        return cls(
            name=name,
            types=tuple(str(column) for column in table.columns),
            genes=pd.Index(table.index.astype(str)),
            mean_counts=mean_counts,
            mean_log=np.log1p(mean_counts),
            cell_totals=totals,
        )


def _labels(adata: AnnData, cell_type: str, name: str) -> tuple[NDArray[np.int64], list[str]]:
    """Code of every cell (-1 without a label) and the names of the codes."""
    if cell_type not in adata.obs:
        columns = ", ".join(map(str, adata.obs.columns[:8])) or "none"
        raise InputError(
            f'The cells have no column "{cell_type}"; there are: {columns}',
            where=f"{name}, obs",
            remedy="Choose the column that holds the cell types",
        )
    labels = adata.obs[cell_type]
    missing = labels.isna() | labels.astype(str).isin(MISSING_LABELS)
    text = labels.astype(str)
    present = set(text[~missing])
    if isinstance(labels.dtype, pd.CategoricalDtype):
        types = [str(c) for c in labels.cat.categories if str(c) in present]
    else:
        types = sorted(present)
    codes = pd.Categorical(text.where(~missing), categories=types).codes
    return np.asarray(codes, dtype=np.int64), types


@dataclass(frozen=True, slots=True, eq=False)
class _SumsByType:
    """Sums over the cells of each type; cells without a single count do not count.

    Parameters
    ----------
    sums, squares, logs
        K x G: of counts per ten thousand, of their squares, and of log1p of them.
    totals, squared_totals, counting
        K: of the cells' totals, of their squares, and of ten thousand over them.
    cells
        K: how many there are.
    random_sums
        `RANDOM_SUMS` x G: of the counts per ten thousand of some cells, with random signs.
    signs
        `RANDOM_SUMS` x K: sums of these signs.
    """

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    logs: NDArray[np.float64]
    totals: NDArray[np.float64]
    squared_totals: NDArray[np.float64]
    counting: NDArray[np.float64]
    cells: NDArray[np.int64]
    random_sums: NDArray[np.float64]
    signs: NDArray[np.float64]


def _sums_by_type(found: FoundCounts, codes: NDArray[np.int64], n_types: int) -> _SumsByType:
    shape = (n_types, len(found.var))
    by_type = _SumsByType(
        sums=np.zeros(shape),
        squares=np.zeros(shape),
        logs=np.zeros(shape),
        totals=np.zeros(n_types),
        squared_totals=np.zeros(n_types),
        counting=np.zeros(n_types),
        cells=np.zeros(n_types, dtype=np.int64),
        random_sums=np.zeros((RANDOM_SUMS, shape[1])),
        signs=np.zeros((RANDOM_SUMS, n_types)),
    )
    random = np.random.default_rng(0)
    start = 0
    for chunk in found.chunks():
        chunk_codes = codes[start : start + chunk.shape[0]]
        start += chunk.shape[0]
        totals = np.asarray(chunk.sum(axis=1)).ravel()
        used = np.flatnonzero((chunk_codes >= 0) & (totals > 0))
        chunk, chunk_codes, totals = chunk[used], chunk_codes[used], totals[used]
        members = sparse.csr_matrix(
            (np.ones(used.size), (chunk_codes, np.arange(used.size))), shape=(n_types, used.size)
        )
        row = (by_type.cells.sum() + np.arange(used.size)) % RANDOM_SUMS
        sign = 1.0 - 2.0 * random.integers(0, 2, used.size)
        signed = sparse.csr_matrix(
            (sign, (row, np.arange(used.size))), shape=(RANDOM_SUMS, used.size)
        )
        chunk.data *= np.repeat(PER_CELL / totals, np.diff(chunk.indptr))
        np.add(by_type.random_sums, (signed @ chunk).toarray(), out=by_type.random_sums)
        np.add(by_type.signs, (signed @ members.T).toarray(), out=by_type.signs)
        np.add(by_type.sums, (members @ chunk).toarray(), out=by_type.sums)
        np.add(by_type.squares, (members @ chunk.power(2)).toarray(), out=by_type.squares)
        np.log1p(chunk.data, out=chunk.data)
        np.add(by_type.logs, (members @ chunk).toarray(), out=by_type.logs)
        np.add.at(by_type.totals, chunk_codes, totals)
        np.add.at(by_type.squared_totals, chunk_codes, totals**2)
        np.add.at(by_type.counting, chunk_codes, PER_CELL / totals)
        np.add.at(by_type.cells, chunk_codes, 1)
    return by_type


def _spread(
    by_type: _SumsByType, kept: NDArray[np.bool_], mean_counts: NDArray[np.float64]
) -> CellSpread | None:
    """Pooled variance within types; None where no type has cells to spare."""
    cells = by_type.cells[kept]
    free = int((cells - 1).sum())
    if free == 0:
        return None
    within = by_type.squares[kept].sum(axis=0) - (cells[:, None] * mean_counts**2).sum(axis=0)
    # A type of one cell, which is left out, differs from its mean by nothing.
    means = by_type.sums / np.maximum(by_type.cells, 1)[:, None]
    differing = by_type.random_sums - by_type.signs @ means
    mean_total = by_type.totals[kept] / cells
    relative = by_type.squared_totals[kept] / mean_total**2 - cells
    counted = np.average(1 / mean_total, weights=cells)
    return CellSpread(
        variance=np.maximum(within, 0) / free,
        counting=float(by_type.counting[kept].sum() / cells.sum()),
        cells_per_type=cells,
        random_sums=(differing / np.sqrt(free)).astype(np.float32),
        total_variation=max(float(relative.sum() / free - counted), 0.0),
    )


def _check_values(values: NDArray[np.float64], where: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} values are missing or infinite",
            where=where,
            remedy="Replace them by zeros, or remove these genes",
        )
    if (values < 0).any():
        raise InputError(
            f"{int((values < 0).sum())} values are negative, so these are not counts",
            where=where,
            remedy="Give raw counts, not scaled or centred values",
        )
