"""Genes that differ between groups of spots, ranked by scanpy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.comparison_settings import RankingSettings
from napari_smoother.analyses.context import Context
from napari_smoother.analyses.gene_ranking import FEW, KEY, GeneRanking
from napari_smoother.analyses.gene_values import log_expression_in_pieces, spots_with_counts
from napari_smoother.analyses.spot_groups import REST, Groups, compared_groups, pairs_among
from napari_smoother.errors import InputError, require
from napari_smoother.keys import key_beside, own_entries, warn_of_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

EXTRA = "pip install 'napari-smoother[genes]'"

ENTRIES_AT_ONCE = 2**21
"""Values of spots and genes that are ranked between two looks at the context."""


def compute(
    adata: AnnData,
    groups: Groups,
    settings: RankingSettings = RankingSettings(),
    context: Context = Context(),
    *,
    where: str = "adata",
) -> GeneRanking:
    """Rank genes; see `rank_genes`.

    Parameters
    ----------
    adata
        Spots x genes, counts in X.
    groups
        Group of each spot; spots without a count are left out.
    settings
        Which groups, and how.
    context
        Who asks: told of the genes that are done.
    where
        What the section is called in errors.

    Raises
    ------
    InputError
        If scanpy is missing, or there are not two groups of two spots with counts.
    Cancelled
        If the context said so.
    """
    counted = spots_with_counts(adata, where=where)
    compared, ranked, reference = choose(compared_groups(groups, settings, counted), settings)
    context.say("loading scanpy")
    scanpy = _scanpy()
    spots = np.flatnonzero(compared.codes >= 0)
    codes = compared.codes[spots]
    # Scanpy is given numbers for names: a region may be called "rest".
    labels = pd.Categorical.from_codes(codes, pd.Index(map(str, range(len(compared.names)))))
    rows = [compared.names.index(name) for name in ranked]
    against = str(compared.names.index(reference)) if reference else REST
    n_genes = adata.n_vars
    found = {
        name: np.empty((len(ranked), n_genes), dtype=kind)
        for name, kind in (
            ("scores", np.float32),
            ("log_fold_changes", np.float32),
            ("p_values", np.float64),
            ("shares", np.float64),
            ("shares_reference", np.float64),
        )
    }
    size = max(ENTRIES_AT_ONCE // len(spots), 1)
    context.say("ranking genes", 0, n_genes)
    for start, values in log_expression_in_pieces(adata, spots, size, where=where):
        piece = slice(start, start + values.shape[1])
        _rank(scanpy, values, labels, rows, against, settings.tie_correct, found, piece)
        context.say("ranking genes", piece.stop, n_genes)
    adjusted = np.apply_along_axis(_benjamini_hochberg, 1, found["p_values"])
    return GeneRanking(
        settings,
        compared,
        ranked,
        reference,
        pd.Index(adata.var_names.astype(str)),
        adjusted=adjusted,
        **found,
    )


def choose(groups: Groups, settings: RankingSettings) -> tuple[Groups, tuple[str, ...], str]:
    """Return which groups are compared, and how.

    Parameters
    ----------
    groups
        Those that have spots with counts.
    settings
        Which of them.

    Returns
    -------
    Groups
        Those that take part.
    tuple of str
        Names of those that are ranked.
    str
        Name of their reference; ``""`` for all others together.

    Raises
    ------
    InputError
        If there are fewer than two groups of two spots, one is missing, or references differ.
    """
    pairs = pairs_among(settings, groups)
    references = {reference or "" for _, reference in pairs}
    require(
        len(references) == 1,
        "Genes are ranked against one reference, and the pairs name several",
        "pairs",
        "Name one reference in all of them",
    )
    ranked, reference = tuple(dict.fromkeys(name for name, _ in pairs)), references.pop()
    if reference:
        wanted = [groups.names.index(name) for name in (*ranked, reference)]
        groups = groups.among(np.isin(groups.codes, wanted))
    sizes = dict(zip(groups.names, groups.sizes, strict=True))
    for name in ranked:
        others = sizes[reference] if reference else sum(sizes.values()) - sizes[name]
        require(
            min(sizes[name], others) >= 2,
            f"{name!r} or what it is compared to has a single spot with counts",
            "regions",
            "Compare regions of two spots at least, better of some tens",
        )
    return groups, ranked, reference


def _rank(
    scanpy: Any,
    values: NDArray[np.float64],
    labels: pd.Categorical[str],
    rows: list[int],
    reference: str,
    tie_correct: bool,
    found: dict[str, NDArray[Any]],
    piece: slice,
) -> None:
    """Let scanpy rank some genes, and note what it found."""
    from anndata import AnnData

    numbers = [str(number) for number in range(values.shape[1])]
    spots = [str(number) for number in range(values.shape[0])]
    part = AnnData(
        values,
        obs=pd.DataFrame({"group": labels}, index=spots),
        var=pd.DataFrame(index=numbers),
        uns={"log1p": {"base": None}},
    )
    names = [str(row) for row in rows]
    with np.errstate(divide="ignore", invalid="ignore"):  # of genes without a count
        scanpy.tl.rank_genes_groups(
            part,
            "group",
            groups=names,
            reference=reference,
            method="wilcoxon",
            tie_correct=tie_correct,
            pts=True,
        )
    told = part.uns[KEY]
    others = told["pts_rest"] if reference == REST else None
    for row, name in enumerate(names):
        places = told["names"][name].astype(int) + piece.start
        found["scores"][row, places] = told["scores"][name]
        found["log_fold_changes"][row, places] = told["logfoldchanges"][name]
        found["p_values"][row, places] = told["pvals"][name]
        found["shares"][row, piece] = told["pts"][name]
        found["shares_reference"][row, piece] = (
            told["pts"][reference] if others is None else others[name]
        )


def _benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p_values, method="bh"), dtype=np.float64)


def _scanpy() -> Any:
    try:
        import scanpy
    except ImportError as missing:
        raise InputError(
            f"Genes are ranked by scanpy, which cannot be loaded: {missing}",
            where="ranking of genes",
            remedy=f"Install the extra: {EXTRA}",
        ) from missing
    return scanpy


def rank_genes(
    adata: AnnData,
    groupby: str = "region",
    *,
    groups: Sequence[str] | None = None,
    reference: str | None = None,
    unassigned: bool = False,
    tie_correct: bool = True,
    key_added: str | None = None,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Rank genes by how much they differ between regions, as `scanpy.tl.rank_genes_groups`.

    A Wilcoxon test of each gene's log1p of counts per 10,000, between the spots of a region and
    those of another or of all others, with p-values adjusted for the number of genes by
    Benjamini and Hochberg. Spots without a count or a region are left out, where scanpy counts
    them to the rest.

    P-values take spots for independent. Neighbouring spots are not, so that p-values are too
    small, by many powers of ten in large regions; and regions that were drawn by looking at a
    gene differ in it by choice. They serve to order genes. How much a gene differs is said by
    its fold change and by the shares of spots that express it.

    Parameters
    ----------
    adata
        Spots x genes, counts in X, regions in ``obs[groupby]``.
    groupby
        Column of ``obs`` with the regions; spots without one, or with the text "NA" or "nan",
        are left out.
    groups
        Regions to rank the genes of; None for all.
    reference
        Region they are compared to; None for all others together.
    unassigned
        Whether spots without a region count as one more, called ``"no region"``.
    tie_correct
        Whether the variance of rank sums is corrected for ties. Scanpy by itself does not,
        which makes scores of genes that few spots express too small.
    key_added
        Where the results go; None for ``"rank_genes_groups"``, or a key like it where that holds
        what was not written by this function.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked for some hundred genes at a time.

    Returns
    -------
    AnnData or None
        The copy, when asked for. It has

        ``uns[key_added]``
            What scanpy writes: ``names``, ``scores``, ``logfoldchanges`` (base 2), ``pvals`` and
            ``pvals_adj`` by region, ``pts`` and ``pts_rest`` (shares of spots that express a
            gene), ``params``; for `scanpy.get.rank_genes_groups_df` and scanpy's plots.
        ``uns["smoother"][key_added]``
            Settings and report.

    Raises
    ------
    InputError
        If scanpy is missing (the extra ``genes``), there is no such column or region, or there
        are not two regions of two spots with counts.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Warns
    -----
    UserWarning
        If regions are so small that p-values are rough, or the key was taken.
    """
    require(
        groupby in adata.obs,
        "There is no such column",
        f'obs["{groupby}"]',
        "Name a column that holds regions as groupby",
    )
    found_groups = Groups.of(adata.obs[groupby])
    against = "" if reference is None else str(reference)
    names = groups if groups is not None else found_groups.names if against else ()
    settings = RankingSettings(
        "column",
        groupby,
        unassigned,
        tuple((str(name), against) for name in names if groups is not None or name != against),
        tie_correct,
    )
    found = compute(adata, found_groups, settings, Context(cancelled))
    if found.few:
        warnings.warn(
            f"Regions of {FEW} spots or fewer: {', '.join(found.few)}. Their p-values are rough",
            UserWarning,
            stacklevel=2,
        )
    warn_of_paths(found.groups.names, "The regions")
    key = key_added
    if key is None:
        key = key_beside(KEY, adata.uns, own_entries(adata.uns).get("uns", ()))
        if key != KEY:
            warnings.warn(
                f'uns["{KEY}"] was there before and stays; the ranking is in uns["{key}"]',
                UserWarning,
                stacklevel=2,
            )
    target = adata.copy() if copy else adata
    found.write(target, key)
    return target if copy else None
