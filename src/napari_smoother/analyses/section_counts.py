"""The counts of a section as an analysis takes them, wherever the section is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_smoother.counts.finding import find_counts
from napari_smoother.models.deconv.named_genes import fully_named

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from napari_smoother.counts.origin import CountsOrigin
    from napari_smoother.section import Section


@dataclass(frozen=True, slots=True, eq=False)
class SectionCounts:
    """Counts of the spots of a section, with names of genes and spots.

    Parameters
    ----------
    values
        n spots x genes: raw counts, or what comes closest; see `origin`.
    genes
        One row a gene, in the order of the columns.
    spots
        Names of the n spots.
    origin
        Where the counts were found and how they were read.
    where
        What the section is called in errors.
    """

    values: Any
    genes: pd.DataFrame
    spots: pd.Index[str]
    origin: CountsOrigin
    where: str = "section"

    @classmethod
    def of(cls, section: Section) -> SectionCounts:
        """Return the counts of an open section: the same object for the same section.

        Steps that remember what they found compare data by identity.

        Parameters
        ----------
        section
            Whose ``X`` holds counts already; it is not kept alive.
        """
        known = _of_sections.get(section)
        if known is None:
            adata = section.adata
            known = cls(adata.X, adata.var, adata.obs_names, section.origin, section.name)
            known = _of_sections.setdefault(section, known)
        return known

    @classmethod
    def found_in(cls, adata: AnnData, layer: str | None = None) -> SectionCounts:
        """Look for the counts of an AnnData.

        Parameters
        ----------
        adata
            Spots x genes; not changed.
        layer
            Where the counts are: ``"X"``, ``"raw"`` or the name of a layer; None looks for them
            as `find_counts` does.

        Raises
        ------
        InputError
            If there is no such layer, or nothing in it can be read as expression.
        """
        found = find_counts(adata, where="section", layer=layer)
        return cls(found.read(), fully_named(found.var, adata), adata.obs_names, found.origin)


_of_sections: WeakKeyDictionary[Section, SectionCounts] = WeakKeyDictionary()
