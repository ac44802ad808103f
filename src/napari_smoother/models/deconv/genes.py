"""Match the genes of a section with those of a reference, however each spells them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError
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

    from napari_smoother.models.deconv.reference import Reference

FEWEST_GENES = 10

_SPECIES = "human|mouse|rat|macaque|pig|zebrafish|homo_?sapiens|mus_?musculus|rattus_?norvegicus"
_ASSEMBLY = (
    r"(?:GRC[a-z]|hg|mm|rn|Rnor_?|mRatBN|Mmul_?|rheMac|macFas|susScr|Sscrofa|galGal|bosTau"
    r"|canFam|danRer|dm|BDGP|ce|WBcel|T2T-CHM)\d+(?:\.\w+)?(?:-\d{4}-\w)?"
)
_GENOME = re.compile(rf"({_ASSEMBLY}|{_SPECIES})[_\-:]+(?=\w)", re.IGNORECASE)
"""What references of several genomes put before the name of a gene; shorter ones are padded."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneMatch:
    """Genes that a section and a reference share.

    Parameters
    ----------
    section_index, reference_index
        Positions of the shared genes in the section and in the reference, in the section's order.
    names
        Their names as the section spells them.
    n_section, n_reference
        How many genes each has altogether.
    """

    section_index: NDArray[np.int64]
    reference_index: NDArray[np.int64]
    names: pd.Index[str]
    n_section: int
    n_reference: int

    @property
    def n_shared(self) -> int:
        """Number of shared genes."""
        return len(self.section_index)


def match_genes(section_var: pd.DataFrame | pd.Index[str], reference: Reference) -> GeneMatch:
    """Match the genes of a section with those of a reference by name.

    Every spelling of the section (row names, identifiers, symbols) is tried against every spelling
    of the reference; the pair that shares most genes is taken, row names on a tie. Case counts.
    The version of an Ensembl identifier does not. Where names carry the genome they belong to
    (``GRCh38_GAD1``, ``mm10___Gad1``), the genes of one genome are matched. A name that several
    genes of one side have says of none which it is, and is left out.

    Parameters
    ----------
    section_var
        ``var`` of the section, or only its gene names.
    reference
        The reference.

    Returns
    -------
    GeneMatch

    Raises
    ------
    InputError
        If they share fewer genes than max(10, number of types), or fewer than half of those that
        only differ in upper and lower case, as the genes of two species do. The message shows how
        each spells its genes.
    """
    if isinstance(section_var, pd.DataFrame):
        ours = [row_names(section_var), *alternative_names(section_var).values()]
    else:
        ours = [pd.Index(section_var.astype(str))]
    theirs = list(reference.spellings)

    best = _best(ours, theirs)
    n_shared = best[0].size
    needed = max(FEWEST_GENES, reference.n_types)
    if n_shared < needed or 2 * n_shared < min(len(ours[0]), reference.n_genes):
        folded = _best(ours, theirs, fold_case=True)[0].size
        if n_shared < needed or 2 * n_shared < folded:
            raise _too_few(n_shared, needed, folded, ours[0], reference)
    return GeneMatch(
        section_index=best[0],
        reference_index=best[1],
        names=ours[0][best[0]],
        n_section=len(ours[0]),
        n_reference=reference.n_genes,
    )


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
    here, there = _best([rows], [spelled for _, spelled in names])
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


Shared = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


def _best(
    ours: list[pd.Index[str]], theirs: list[pd.Index[str]], *, fold_case: bool = False
) -> Shared:
    """Places, here and there, of the genes shared by the pair of spellings that shares most."""
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


def _too_few(
    n_shared: int, needed: int, folded: int, ours: pd.Index[str], reference: Reference
) -> InputError:
    our_style = ", ".join(map(str, ours[:3]))
    their_style = ", ".join(map(str, reference.genes[:3]))
    problem = (
        f"The section and the reference share {n_shared} genes; at least "
        f"{max(needed, folded // 2)} are needed. "
        f"The section spells them like {our_style}; the reference like {their_style}"
    )
    if folded >= needed and folded > 2 * n_shared:
        return InputError(
            f"{problem}. {folded} match when upper and lower case are taken as one, "
            "so the species differ (mouse Gad1 is not human GAD1)",
            where=f"genes, {reference.name}",
            remedy="Use a reference of the section's species, or translate orthologues first",
        )
    return InputError(
        problem,
        where=f"genes, {reference.name}",
        remedy="Use the same kind of names in both: gene symbols or Ensembl identifiers",
    )
