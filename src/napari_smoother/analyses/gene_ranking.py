"""A ranking of genes by how much they differ between groups of spots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.spot_groups import REST, Groups
from napari_smoother.atomic import replacing
from napari_smoother.keys import OURS, WRITTEN_BY, with_report

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.comparison_settings import RankingSettings

KEY = "rank_genes_groups"
"""Of ``uns``, where scanpy has it."""

CAVEAT = (
    "The p-values take spots for independent, which neighbouring spots are not: they are too "
    "small. They order genes; how much a gene differs is said by the fold change, the shares of "
    "spots and the map."
)

FEW = 25
"""Spots up to which the normal approximation of a rank sum is poor, as scanpy has it."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneRanking:
    """How much every gene differs between groups of spots.

    Parameters
    ----------
    settings
        How they were compared.
    groups
        The group of each spot that was compared.
    ranked
        Names of the R groups that were compared to the reference.
    reference
        Its name; ``""`` for all other groups together.
    genes
        Row names of the G genes.
    scores
        R x G float32: z-scores of the rank sums; larger where a gene is higher in the group.
    log_fold_changes
        R x G float32: base 2, of means of log1p of counts per 10,000, as scanpy has them.
    p_values, adjusted
        R x G, two-sided; adjusted over the genes of a group by Benjamini and Hochberg.
    shares, shares_reference
        R x G: share of the spots that express a gene.
    """

    settings: RankingSettings
    groups: Groups
    ranked: tuple[str, ...]
    reference: str
    genes: pd.Index[str]
    scores: NDArray[np.float32]
    log_fold_changes: NDArray[np.float32]
    p_values: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    shares: NDArray[np.float64]
    shares_reference: NDArray[np.float64]

    @property
    def few(self) -> list[str]:
        """Groups of so few spots that p-values are rough."""
        sizes = self.groups.sizes
        return [n for n, size in zip(self.groups.names, sizes, strict=True) if size <= FEW]

    def describe(self, level: float = 0.05) -> str:
        """Say it in a line."""
        found = int((self.adjusted < level).sum())
        each = f"{len(self.ranked)} regions, " if len(self.ranked) > 1 else ""
        n_spots = int(self.groups.sizes.sum())
        return (
            f"{each}{len(self.genes):,} genes in {n_spots:,} spots: {found:,} of adjusted p below "
            f"{level:g}, taking spots for independent"
        )

    def table(self, group: str | None = None) -> pd.DataFrame:
        """Return a row for each gene, the highest score first.

        Parameters
        ----------
        group
            One of `ranked`; None for all of them, one after the other.

        Returns
        -------
        DataFrame
            ``region``, ``reference``, ``gene``, ``score``, ``log2_fold_change``, ``p_value``,
            ``adjusted_p_value``, ``share`` and ``share_reference`` of spots that express the
            gene, and ``share_difference``.
        """
        chosen = self.ranked if group is None else (group,)
        return pd.concat([self._table_of(name) for name in chosen], ignore_index=True)

    def _table_of(self, group: str) -> pd.DataFrame:
        row = self.ranked.index(group)
        order = self._order(row)
        share, other = self.shares[row, order], self.shares_reference[row, order]
        return pd.DataFrame(
            {
                "region": group,
                "reference": self.reference or REST,
                "gene": self.genes[order],
                "score": self.scores[row, order],
                "log2_fold_change": self.log_fold_changes[row, order],
                "p_value": self.p_values[row, order],
                "adjusted_p_value": self.adjusted[row, order],
                "share": share,
                "share_reference": other,
                "share_difference": share - other,
            }
        )

    def _order(self, row: int) -> NDArray[np.intp]:
        return np.argsort(-self.scores[row], kind="stable")

    def to_csv(self, path: str | Path, symbols: pd.Series[str] | None = None) -> None:
        """Write every gene of every group as a table, whole or not at all.

        Parameters
        ----------
        path
            Of the file.
        symbols
            Further names of genes, by row name; None for no such column.
        """
        table = self.table()
        if symbols is not None:
            place = list(table).index("gene") + 1
            table.insert(place, "symbol", symbols.reindex(table["gene"]).to_numpy())
        with replacing(path) as temporary:
            table.to_csv(temporary, index=False)

    def write(self, adata: AnnData, key_added: str = KEY) -> None:
        """Write it into the section in scanpy's own layout; see `rank_genes`."""
        orders = [self._order(row) for row in range(len(self.ranked))]

        def records(values: Any, kind: str) -> Any:
            columns = {
                name: np.asarray(values[row])[order]
                for row, (name, order) in enumerate(zip(self.ranked, orders, strict=True))
            }
            return pd.DataFrame(columns).to_records(index=False, column_dtypes=kind)

        names = [self.genes.to_numpy(dtype=object)] * len(self.ranked)
        shares = pd.DataFrame(self.shares.T, self.genes, list(self.ranked))
        others = pd.DataFrame(self.shares_reference.T, self.genes, list(self.ranked))
        if self.reference:
            shares[self.reference] = others.iloc[:, 0]
        entry: dict[str, Any] = {
            "params": {
                "groups": self.settings.groups,
                "groupby": self.groups.column,
                "reference": self.reference or REST,
                "method": "wilcoxon",
                "use_raw": False,
                "corr_method": "benjamini-hochberg",
                "tie_correct": self.settings.tie_correct,
                WRITTEN_BY: OURS,
            },
            "names": records(names, "O"),
            "scores": records(self.scores, "float32"),
            "logfoldchanges": records(self.log_fold_changes, "float32"),
            "pvals": records(self.p_values, "float64"),
            "pvals_adj": records(self.adjusted, "float64"),
            "pts": shares,
            **({} if self.reference else {"pts_rest": others}),
        }
        chosen = asdict(self.settings)
        pairs = [(name, reference or REST) for name, reference in self.settings.pairs]
        chosen["pairs"] = np.array(pairs, dtype=object) if pairs else REST
        report = {
            "groups": self.settings.groups,
            "groupby": self.groups.column,
            "n_spots": int(self.groups.sizes.sum()),
            "n_genes": len(self.genes),
            "caveat": CAVEAT,
        }
        told = with_report(adata.uns, {key_added: {"recipe": chosen, "report": report}})
        adata.uns = {**told, key_added: entry}
