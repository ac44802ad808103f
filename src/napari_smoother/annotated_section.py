"""An AnnData that knows which of its entries are results, and which file the rest is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anndata import AnnData

if TYPE_CHECKING:
    from pathlib import Path


class AnnotatedSection(AnnData):  # type: ignore[misc]  # nothing is known of its types
    """A section with results, to be written; a copy is an AnnData like any other.

    Parameters
    ----------
    source
        The file that the section was read from; None when there is none.
    content
        What an AnnData is made of.

    Attributes
    ----------
    results : dict of str to list of str
        Keys of the results, by place (``"obs"``, ``"obsm"``, ...).
    """

    def __init__(self, source: Path | None, **content: Any) -> None:
        super().__init__(**content)
        self.source = source
        self.results: dict[str, list[str]] = {}

    def copy(self, filename: Any = None) -> Any:
        """Return an AnnData with everything in it, results or not."""
        return AnnData(
            X=self.X,
            obs=self.obs,
            var=self.var,
            uns=self.uns,
            obsm=dict(self.obsm),
            varm=dict(self.varm),
            layers=dict(self.layers),
            obsp=dict(self.obsp),
            varp=dict(self.varp),
            raw=self.raw,
        ).copy(filename)
