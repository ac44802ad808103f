"""Names of genes as different tables have them, and which of them are the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.models.deconv.gene_names import (
    alternative_names,
    are_identifiers,
    row_names,
    some_of,
    without_version,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

_SPECIES = "human|mouse|rat|macaque|pig|zebrafish|homo_?sapiens|mus_?musculus|rattus_?norvegicus"
_ASSEMBLY = (
    r"(?:GRC[a-z]|hg|mm|rn|Rnor_?|mRatBN|Mmul_?|rheMac|macFas|susScr|Sscrofa|galGal|bosTau"
    r"|canFam|danRer|dm|BDGP|ce|WBcel|T2T-CHM)\d+(?:\.\w+)?(?:-\d{4}-\w)?"
)
_GENOME = re.compile(rf"({_ASSEMBLY}|{_SPECIES})[_\-:]+(?=\w)", re.IGNORECASE)
"""What references of several genomes put before the name of a gene; shorter ones are padded."""


Shared = tuple["NDArray[np.int64]", "NDArray[np.int64]"]
"""Places of the same genes, here and there."""


def named_var(var: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Give genes the names that another table of the same genes has for them.

    ``raw.var`` is often bare where ``var`` has symbols. Genes are told by their row names, or by
    an identifier that `other` has in a column, never by their place; numbers are no names.

    Parameters
    ----------
    var
        One row a gene.
    other
        Any of the same genes, in any order.

    Returns
    -------
    pandas.DataFrame
        `var` itself where there is nothing to add, else a copy with further columns, ``""`` for
        genes that `other` does not have. No column is replaced.
    """
    rows = row_names(var)
    if var is other or 2 * rows.str.fullmatch(r"\d+").sum() > len(rows):
        return var
    theirs = row_names(other)
    title = "gene_ids" if are_identifiers(theirs) else "symbol"
    names = [(title, theirs), *alternative_names(other).items()]
    here, there = shared_places([rows], [spelled for _, spelled in names])
    missing = [
        (title, spelled[there])
        for title, spelled in names
        if title not in var and not spelled[there].equals(rows[here])
    ]
    if not here.size or not missing:
        return var
    var = var.copy()
    for title, spelled in missing:
        column = np.full(len(var), "", dtype=object)
        column[here] = spelled
        var[title] = column
    return var


def fully_named(var: pd.DataFrame, adata: AnnData) -> pd.DataFrame:
    """Give genes the names that ``var`` and ``raw.var`` of their AnnData have for them.

    Parameters
    ----------
    var
        One row a gene: one of the two, or some rows of it.
    adata
        That it is of.

    Returns
    -------
    pandas.DataFrame
        See `named_var`.
    """
    named = named_var(var, adata.var)
    return named if adata.raw is None else named_var(named, adata.raw.var)


def shared_places(
    ours: list[pd.Index[str]], theirs: list[pd.Index[str]], *, fold_case: bool = False
) -> Shared:
    """Return places, here and there, of the genes that the best pair of spellings shares."""
    pairs = [
        _shared(a, b)
        for a in _spellings(ours, fold_case=fold_case)
        for b in _spellings(theirs, fold_case=fold_case)
    ]
    return max(pairs, key=lambda shared: shared[0].size)  # the first of equals


def _spellings(names: list[pd.Index[str]], *, fold_case: bool) -> list[pd.Index[str]]:
    """Every kind of names without versions; then those of each genome alone, without its prefix.

    ``""`` stands for no name.
    """
    found: list[pd.Index[str]] = []
    for kind in names:
        plain = without_version(kind)
        if fold_case:
            plain = plain.str.casefold()
        found.append(plain)
        genomes: dict[str, list[str]] = {}
        if not any(map(_GENOME.match, some_of(plain))):
            continue
        for place, name in enumerate(plain):
            genome = _GENOME.match(name)
            if genome is not None:
                alone = genomes.setdefault(genome[1], [""] * len(plain))
                alone[place] = name[genome.end() :]
        found.extend(pd.Index(alone, dtype=object) for alone in genomes.values())
    return found


def _shared(ours: pd.Index[str], theirs: pd.Index[str]) -> Shared:
    once = np.flatnonzero(~theirs.duplicated(keep=False))
    position = theirs[once].get_indexer(ours)
    usable = (position >= 0) & ~ours.duplicated(keep=False) & np.asarray(ours != "")
    our_index = np.flatnonzero(usable).astype(np.int64)
    return our_index, once[position[our_index]].astype(np.int64)
