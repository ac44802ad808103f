"""An embedding of a section laid out in a plane by UMAP."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Context, Progress
from napari_smoother.analyses.embedding_source import EmbeddingSource, obsm_table
from napari_smoother.analyses.umap_settings import UmapSettings
from napari_smoother.errors import require
from napari_smoother.keys import with_report
from napari_smoother.models.reduction.neighbour_layout import lay_out

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

MODEL = "umap"


@dataclass(frozen=True, slots=True, eq=False)
class UmapLayout:
    """Places of spots in a plane.

    Attributes
    ----------
    settings
        What it was found with.
    spots
        n barcodes.
    places
        n x 2, float64, in units of the plane; NaN for spots that the embedding has no numbers
        for.
    report
        Numbers and texts.
    seconds
        Wall time.
    """

    settings: UmapSettings
    spots: pd.Index[str]
    places: NDArray[np.float64]
    report: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def describe(self) -> str:
        """Return what was laid out, in a few words."""
        parts = [f"UMAP of {self.report['of']}", f"{self.report['n_spots']:,} spots"]
        missing = len(self.places) - self.report["n_spots"]
        if missing:
            parts.append(f"{missing:,} without a place")
        return " · ".join([*parts, f"{self.seconds:.1f} s"])

    def entry(self) -> dict[str, Any]:
        """Return recipe and report as numbers, strings and dictionaries."""
        return {"recipe": {"model": MODEL, **asdict(self.settings)}, "report": self.report}

    def write(self, adata: AnnData, key_added: str = MODEL) -> None:
        """Write it into the section that it was found in.

        Parameters
        ----------
        adata
            Gets ``obsm["X_" + key_added]`` and ``uns["smoother"][key_added]``.
        key_added
            What it is called.
        """
        adata.obsm[f"X_{key_added}"] = self.places
        adata.uns = with_report(adata.uns, {key_added: self.entry()})


def compute(
    scores: NDArray[np.floating],
    spots: pd.Index[str],
    settings: UmapSettings,
    context: Context = Context(),
    *,
    name: str = "",
) -> UmapLayout:
    """Lay an embedding out.

    Parameters
    ----------
    scores
        n x dims; spots that lack a number are left out.
    spots
        n barcodes.
    settings
        How.
    context
        Who asks. Told about epochs; a process of its own does the work, and is ended where the
        context says so.
    name
        What the embedding is called.

    Returns
    -------
    UmapLayout

    Raises
    ------
    InputError
        If umap-learn is missing, or there are too few spots or dims.
    Cancelled
        If the context said so.
    """
    where = name or "embedding"
    require(scores.shape[1] >= 2, "One number a spot is no embedding", where, "Take two or more")
    began = time.perf_counter()
    known = np.flatnonzero(np.isfinite(scores).all(axis=1))

    def tell(done: int, total: int) -> None:
        if context.tell is not None:
            far = f"epoch {done} of {total}" if total else "looking for neighbours"
            context.tell(Progress(f"UMAP · {far}", done, total))

    context.say("UMAP")
    found = lay_out(
        scores[known],
        neighbours=settings.neighbours,
        minimum_distance=settings.minimum_distance,
        seed=settings.seed,
        tell=tell,
        cancelled=context.cancelled,
    )
    places = np.full((len(scores), 2), np.nan)
    places[known] = found
    seconds = time.perf_counter() - began
    report = {
        "of": where,
        "n_spots": len(known),
        "n_dims": int(scores.shape[1]),
        "seconds": seconds,
    }
    return UmapLayout(settings, spots, places, report, seconds)


def umap(
    adata: AnnData,
    basis: str = "X_spatial_pca",
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 0,
    key_added: str = MODEL,
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Lay an embedding out in a plane, as the Embedding dock of the window does.

    Needs umap-learn, the extra ``umap``, which works in a process of its own.

    Parameters
    ----------
    adata
        Spots x genes with ``obsm[basis]``, spots x dims.
    basis
        Key of ``obsm``: components, latent means, proportions, ...
    n_neighbors
        How many nearest spots in the embedding each spot is drawn to.
    min_dist
        How close spots may come in the plane, 0 to 1.
    seed
        The same one ends in the same places.
    key_added
        ``obsm["X_" + key_added]`` gets the places (spots x 2, float64, NaN for spots that the
        embedding has no numbers for), ``uns["smoother"][key_added]`` settings and report.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked all along.

    Returns
    -------
    AnnData or None
        The copy, when asked for.

    Raises
    ------
    InputError
        If umap-learn is missing, or embedding or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.
    """
    settings = UmapSettings(EmbeddingSource("obsm", basis), n_neighbors, min_dist, seed)
    scores, _ = obsm_table(adata, basis, "section")
    found = compute(scores, adata.obs_names, settings, Context(cancelled), name=basis)
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None
