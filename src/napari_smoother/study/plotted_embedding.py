"""The embeddings of a section that can be plotted: those found here, and those it came with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.embedding_source import EmbeddingSource, obsm_table
from napari_smoother.errors import InputError
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.umap import Umap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.embedding_source import FoundBy
    from napari_smoother.section import Section
    from napari_smoother.study.open_section import OpenSection

FOUND_HERE: dict[FoundBy, tuple[str, str]] = {
    "reduction": ("Spatial components", Reduction.name),
    "autoencoder": ("Spatial autoencoder", Autoencoder.name),
    "umap": ("UMAP", Umap.name),
}
"""What they are called, and the names of their analyses."""

POSITIONS = "spatial"


@dataclass(frozen=True, slots=True, eq=False)
class PlottedEmbedding:
    """An embedding as a scatter has it.

    Parameters
    ----------
    source
        Which one.
    scores
        n x dims, NaN for spots that it has no numbers for.
    name
        Of a dim, before its number or name.
    dims
        Numbers or names of the dims.
    """

    source: EmbeddingSource
    scores: NDArray[np.float64]
    name: str
    dims: tuple[str, ...]

    def axis(self, dim: int) -> str:
        """Return what a dim is called, counted from 0."""
        return f"{self.name} {self.dims[dim]}"


def sources_of(section: Section | None) -> dict[EmbeddingSource, str]:
    """Return the embeddings to choose from, with what they are called.

    Those found here come first, whether they have been found or not; then the tables of obsm
    with two columns of numbers or more, but for positions.
    """
    found = {EmbeddingSource(kind): label for kind, (label, _) in FOUND_HERE.items()}
    for key, table in section.adata.obsm.items() if section is not None else ():
        if key != POSITIONS and _is_plotted(table):
            found[EmbeddingSource("obsm", key)] = key
    return found


def plotted(study: OpenSection, source: EmbeddingSource) -> PlottedEmbedding | None:
    """Return an embedding of the open section; None while it has not been found."""
    if study.section is None:
        return None
    if source.kind == "obsm":
        try:
            scores, columns = obsm_table(study.section.adata, source.key, study.section.name)
        except InputError:  # of another section
            return None
        dims = _numbers(scores) if columns is None else tuple(map(str, columns))
        return PlottedEmbedding(source, scores, source.key, dims)
    analysis = study.analyses.get(FOUND_HERE[source.kind][1])
    result: Any = None if analysis is None else analysis.result
    if result is None:
        return None
    if source.kind == "umap":
        return PlottedEmbedding(source, result.places, "UMAP", _numbers(result.places))
    return PlottedEmbedding(source, result.scores, result.kind, _numbers(result.scores))


def _numbers(scores: NDArray[np.float64]) -> tuple[str, ...]:
    return tuple(map(str, range(1, scores.shape[1] + 1)))


def _is_plotted(table: Any) -> bool:
    shape: tuple[int, ...] = getattr(table, "shape", ())
    if len(shape) != 2 or shape[1] < 2:
        return False
    kinds = getattr(table, "dtypes", None)  # of a table with names
    kinds = [table.dtype] if kinds is None else list(kinds)
    return all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in kinds)
