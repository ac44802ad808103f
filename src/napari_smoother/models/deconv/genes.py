"""Match the genes of a section with those of a reference, however each spells them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.deconv.reference import Reference

NAME_COLUMNS = (
    "gene_ids",
    "gene_id",
    "feature_id",
    "ensembl_id",
    "ensembl",
    "ENSEMBL",
    "SYMBOL",
    "symbol",
    "gene_symbols",
    "gene_symbol",
    "gene_name",
    "gene_names",
    "feature_name",
    "features",
)
"""Columns of ``var`` in which readers and atlases keep the other name of a gene."""

FEWEST_GENES = 10

_ENSEMBL_VERSION = re.compile(r"^(ENS[A-Z]*G\d{6,})\.\d+$")


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


def alternative_names(var: pd.DataFrame) -> dict[str, pd.Index[str]]:
    """Find the columns of ``var`` that hold other names of the genes.

    Parameters
    ----------
    var
        One row a gene.

    Returns
    -------
    dict
        Column -> names, only for columns of text that differ from the row names.
    """
    found = {}
    for column in NAME_COLUMNS:
        if column not in var:
            continue
        values = var[column]
        if pd.api.types.is_numeric_dtype(values):
            continue
        names = pd.Index(values.astype(object).where(values.notna(), "").astype(str))
        if not names.equals(pd.Index(var.index.astype(str))):
            found[column] = names
    return found


def match_genes(section_var: pd.DataFrame | pd.Index[str], reference: Reference) -> GeneMatch:
    """Match the genes of a section with those of a reference by name.

    Every spelling of the section (row names, identifiers, symbols) is tried against every spelling
    of the reference; the pair that shares most genes is taken, row names on a tie. Case counts.
    The version of an Ensembl identifier does not. Of genes with the same name the first one is
    used, on either side.

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
        If they share fewer genes than max(10, number of types). The message shows how each
        spells its genes, and says so when only upper and lower case differ.
    """
    if isinstance(section_var, pd.DataFrame):
        ours = [pd.Index(section_var.index.astype(str)), *alternative_names(section_var).values()]
    else:
        ours = [pd.Index(section_var.astype(str))]
    theirs = [reference.genes]
    if reference.gene_ids is not None:
        theirs.append(reference.gene_ids)

    best: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    for our_names in ours:
        for their_names in theirs:
            shared = _shared(our_names, their_names)
            if best is None or shared[0].size > best[0].size:
                best = shared
    assert best is not None
    needed = max(FEWEST_GENES, reference.n_types)
    if best[0].size < needed:
        raise _too_few(best[0].size, needed, ours, theirs, reference.name)
    return GeneMatch(
        section_index=best[0],
        reference_index=best[1],
        names=ours[0][best[0]],
        n_section=len(ours[0]),
        n_reference=reference.n_genes,
    )


def _plain(names: pd.Index[str]) -> pd.Index[str]:
    """Names without blanks around them and without the version of an Ensembl identifier."""
    return pd.Index([_ENSEMBL_VERSION.sub(r"\1", str(name).strip()) for name in names])


def _shared(
    ours: pd.Index[str], theirs: pd.Index[str], *, fold_case: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ours, theirs = _plain(ours), _plain(theirs)
    if fold_case:
        ours, theirs = ours.str.casefold(), theirs.str.casefold()
    first_of_theirs = np.flatnonzero(~theirs.duplicated())
    position = theirs[first_of_theirs].get_indexer(ours)
    usable = (position >= 0) & ~ours.duplicated() & np.asarray(ours != "")
    our_index = np.flatnonzero(usable).astype(np.int64)
    return our_index, first_of_theirs[position[our_index]].astype(np.int64)


def _too_few(
    n_shared: int,
    needed: int,
    ours: list[pd.Index[str]],
    theirs: list[pd.Index[str]],
    reference_name: str,
) -> InputError:
    our_style = ", ".join(map(str, ours[0][:3]))
    their_style = ", ".join(map(str, theirs[0][:3]))
    problem = (
        f"The section and the reference share {n_shared} genes; at least {needed} are needed. "
        f"The section spells them like {our_style}; the reference like {their_style}"
    )
    folded = max(_shared(a, b, fold_case=True)[0].size for a in ours for b in theirs)
    if folded >= needed:
        return InputError(
            f"{problem}. {folded} match when upper and lower case are taken as one, "
            "so the species differ (mouse Gad1 is not human GAD1)",
            where=f"genes, {reference_name}",
            remedy="Use a reference of the section's species, or translate orthologues first",
        )
    return InputError(
        problem,
        where=f"genes, {reference_name}",
        remedy="Use the same kind of names in both: gene symbols or Ensembl identifiers",
    )
