"""Match the genes of a section with those of a reference, however each spells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.gene_names import (
    alternative_names,
    row_names,
)
from napari_smoother.models.deconv.named_genes import shared_places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_smoother.models.deconv.reference import Reference

FEWEST_GENES = 10


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

    best = shared_places(ours, theirs)
    n_shared = best[0].size
    needed = max(FEWEST_GENES, reference.n_types)
    if n_shared < needed or 2 * n_shared < min(len(ours[0]), reference.n_genes):
        folded = shared_places(ours, theirs, fold_case=True)[0].size
        if n_shared < needed or 2 * n_shared < folded:
            raise _too_few(n_shared, needed, folded, ours[0], reference)
    return GeneMatch(
        section_index=best[0],
        reference_index=best[1],
        names=ours[0][best[0]],
        n_section=len(ours[0]),
        n_reference=reference.n_genes,
    )


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
