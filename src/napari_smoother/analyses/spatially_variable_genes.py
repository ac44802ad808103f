"""Genes that vary over the tissue: Moran's I of all genes of a section, ranked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.counts.finding import find_counts
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.keys import with_report
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.models.spatial_autocorrelation import moran_test
from napari_smoother.weights.annotated import section_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.counts.finding import FoundCounts
    from napari_smoother.models.spatial_autocorrelation import MoranTest

FALSE_DISCOVERIES = 0.05
"""Share of the genes called spatially variable that may be so by chance."""

FEWEST_SPOTS = 10
"""A gene has to be found in so many: of three, two that are neighbours by chance make I large."""

FLAG = "spatially_variable"
"""Column of ``var`` that says which genes are."""


@dataclass(frozen=True, slots=True)
class SpatiallyVariableGenesSettings:
    """How spatially variable genes are found.

    Parameters
    ----------
    layer
        Where the counts are: ``"X"``, ``"raw"`` or the name of a layer; None to look for them.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; None for one section.
    n_permutations
        How many times the spots are shuffled for p-values; None for p-values by formula alone.
    seed
        Of the permutations.
    """

    layer: str | None = None
    n_neighbors: int = 6
    library_key: str | None = None
    n_permutations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_permutations is not None and self.n_permutations < 1:
            raise InputError(
                f"{self.n_permutations} permutations give no p-value",
                where="spatially variable genes, n_permutations",
                remedy="Set at least 1, or None for p-values by formula",
            )


@dataclass(frozen=True, slots=True, eq=False)
class SpatiallyVariableGenes:
    """Moran's I of every gene, and which genes vary over the tissue.

    Attributes
    ----------
    settings
        What it was found with.
    table
        One row a gene, the largest I first; see `spatially_variable_genes`.
    variable
        For every row of the table, whether the gene varies over the tissue.
    places
        For every row of the table, the gene's place in ``var`` of the section; -1 for none.
    report
        Numbers and text on how it was found.
    """

    settings: SpatiallyVariableGenesSettings
    table: pd.DataFrame
    variable: NDArray[np.bool_]
    places: NDArray[np.intp]
    report: dict[str, int | float | str]

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"{self.report['n_variable']:,} of {self.report['n_genes']:,} genes vary over the "
            f"tissue, at a false discovery rate of {FALSE_DISCOVERIES:.0%}"
        )

    def write(self, adata: AnnData, key_added: str = "moranI") -> None:
        """Write it into the section that it was found in; see `spatially_variable_genes`."""
        here = self.places >= 0
        statistic, variable = np.full(adata.n_vars, np.nan), np.zeros(adata.n_vars, dtype=bool)
        statistic[self.places[here]] = self.table["I"].to_numpy()[here]
        variable[self.places[here]] = self.variable[here]
        adata.var[key_added], adata.var[FLAG] = statistic, variable
        recipe = {
            name: value for name, value in asdict(self.settings).items() if value is not None
        }
        entry = {"recipe": {"model": "moran", **recipe}, "report": self.report}
        adata.uns = with_report({**adata.uns, key_added: self.table.copy()}, {key_added: entry})


def compute(
    adata: AnnData,
    settings: SpatiallyVariableGenesSettings,
    *,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> SpatiallyVariableGenes:
    """Find Moran's I of all genes of a section.

    Parameters
    ----------
    adata
        Spots x genes; not changed.
    settings
        How.
    cancelled
        Asked between blocks of genes.
    progress
        Told the share that is done, from 0 to 1.

    Returns
    -------
    SpatiallyVariableGenes

    Raises
    ------
    InputError
        If counts, positions or graph cannot be used.
    Cancelled
        If ``cancelled`` returned True.
    """
    found = find_counts(adata, where="section", layer=settings.layer)
    weights, graph = section_graph(adata, settings.n_neighbors, settings.library_key)
    pieces = []
    for counts in found.chunks():
        if cancelled is not None and cancelled():
            raise Cancelled("the search for spatially variable genes was cancelled")
        pieces.append(normalise_counts(counts, "log1p"))
    values = sparse.vstack(pieces, format="csc")
    filled = np.zeros(adata.n_obs, dtype=bool)
    filled[values.indices[values.data > 0]] = True
    if not filled.all():
        values, weights = values[filled], weights[filled][:, filled]
    test = moran_test(
        values,
        weights,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
        cancelled=cancelled,
        progress=progress,
    )
    table = _table(test, found.var.index)
    unlikely = table["pval_rand_fdr_bh"].to_numpy() <= FALSE_DISCOVERIES
    frequent = np.asarray((values > 0).sum(axis=0)).ravel() >= FEWEST_SPOTS
    variable = unlikely & frequent & (test.statistic > test.expected)
    order = np.argsort(-test.statistic, kind="stable")
    report: dict[str, int | float | str] = {
        "counts": found.origin.describe(),
        "scale": "log1p of counts per 10,000",
        "graph": graph,
        "n_spots": int(filled.sum()),
        "n_empty_spots": int((~filled).sum()),
        "n_genes": len(table),
        "n_variable": int(variable.sum()),
        "expected": test.expected,
    }
    return SpatiallyVariableGenes(
        settings, table.iloc[order], variable[order], _places(adata, found)[order], report
    )


def spatially_variable_genes(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_neighbors: int = 6,
    library_key: str | None = None,
    n_permutations: int | None = None,
    seed: int = 0,
    key_added: str = "moranI",
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    r"""Rank genes by how much alike their expression is in neighbouring spots.

    That is Moran's I [1]_ of log1p of counts per ten thousand, with the weights of every spot
    divided by their sum,

    .. math::
        I = \frac{n}{\sum_{ij} w_{ij}}
            \frac{\sum_{ij} w_{ij} (x_i - \bar x) (x_j - \bar x)}{\sum_i (x_i - \bar x)^2},

    about 0 for a gene without a pattern and at most about 1. Spots without a count take no part,
    neither as spots nor as neighbours.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    layer
        Where the raw counts are: ``"X"``, ``"raw"`` or the name of a layer; None to look for
        them.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`. The mean
        of a gene is that over all sections: what sets sections apart counts as a pattern, and is
        left out by ranking the genes of one section at a time.
    n_permutations
        How many times the spots are shuffled, all genes together, for p-values that take nothing
        for granted; None for p-values by formula alone. No p-value of n permutations is below
        1 / (n + 1).
    seed
        Of the permutations.
    key_added
        Where the results go; the default is squidpy's key.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked between blocks of genes.

    Returns
    -------
    AnnData or None
        The copy, when asked for. It has

        ``uns[key_added]``
            A DataFrame with one row a gene, the largest I first and genes that are the same
            everywhere last, with NaN. Columns as squidpy has them: ``I``; ``pval_norm`` and
            ``var_norm``, where the values of a gene are taken as normal; with permutations
            ``pval_z_sim``, ``pval_sim`` and ``var_sim``. Beside them ``pval_rand`` and
            ``var_rand``, over all arrangements of the values over the spots [2]_: these p-values
            hold for genes found in few spots, too, whose ``pval_norm`` is far too small. Every
            p-value is of one tail, the one on the side of I, and has its false discovery rate by
            Benjamini and Hochberg in ``..._fdr_bh``.
        ``var[key_added]``
            I of every gene, in the order of the genes.
        ``var["spatially_variable"]``
            Whether a gene varies over the tissue: found in ten spots or more, I above
            -1 / (n - 1), which is expected of n spots without a pattern, and
            ``pval_rand_fdr_bh`` at most 0.05.
        ``uns["smoother"][key_added]``
            The settings and the report (numbers and text only).

    Raises
    ------
    InputError
        If counts, positions, graph or settings cannot be used, or sections lie over each other
        and no ``library_key`` tells them apart.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    References
    ----------
    .. [1] Moran 1950, Notes on continuous stochastic phenomena, Biometrika 37:17.
    .. [2] Cliff and Ord 1981, Spatial Processes: Models and Applications, section 2.3.

    Examples
    --------
    >>> import anndata as ad
    >>> import napari_smoother as ns
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> y, x = (part.ravel() for part in np.indices((20, 20)))
    >>> means = np.full((400, 50), 5.0)
    >>> means[:, 7] = x
    >>> adata = ad.AnnData(random.poisson(means), obsm={"spatial": np.stack([x, y], axis=1)})
    >>> ns.spatially_variable_genes(adata)
    >>> adata.uns["moranI"]["I"].head(2).round(2).to_dict()
    {'7': 0.73, '43': 0.05}
    """
    settings = SpatiallyVariableGenesSettings(
        layer, n_neighbors, library_key, n_permutations, seed
    )
    found = compute(adata, settings, cancelled=cancelled)
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None


def _table(test: MoranTest, genes: pd.Index[Any]) -> pd.DataFrame:
    """One row a gene, in their order."""
    from scipy.stats import false_discovery_control

    columns: dict[str, Any] = {
        "I": test.statistic,
        "pval_norm": test.p_normal,
        "var_norm": test.variance_normal,
        "pval_rand": test.p_random,
        "var_rand": test.variance_random,
        "pval_z_sim": test.p_permuted_normal,
        "pval_sim": test.p_permuted,
        "var_sim": test.variance_permuted,
    }
    columns = {name: values for name, values in columns.items() if values is not None}
    for name in [name for name in columns if name.startswith("pval")]:
        known = ~np.isnan(columns[name])
        rates = np.full(len(known), np.nan)
        if known.any():
            rates[known] = false_discovery_control(columns[name][known])
        columns[f"{name}_fdr_bh"] = rates
    return pd.DataFrame(columns, index=genes)


def _places(adata: AnnData, found: FoundCounts) -> NDArray[np.intp]:
    """Places in ``var`` of the genes of the counts; those of ``raw`` have theirs by name."""
    if found.origin.place != "raw.X":
        return np.arange(adata.n_vars) if found.columns is None else found.columns
    names = adata.var_names
    places = pd.Series(np.arange(adata.n_vars), index=names)[~names.duplicated(keep=False)]
    genes = found.var.index
    known = places.reindex(genes, fill_value=-1).to_numpy(np.intp)
    return np.where(genes.duplicated(keep=False), -1, known)
