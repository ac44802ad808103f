"""What a user can set of a UMAP of an embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_smoother.analyses.embedding_source import EmbeddingSource
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require


@dataclass(frozen=True, slots=True)
class UmapSettings(ComparedByValue):
    """How the spots of an embedding are laid out in a plane by UMAP.

    Parameters
    ----------
    of
        The embedding that is laid out.
    neighbours
        How many nearest spots in the embedding each spot is drawn to: few show fine structure,
        many the whole.
    minimum_distance
        How close spots may come in the plane, from 0 (clumps) to 1 (spread evenly), in units of
        the plane.
    seed
        Seed of the layout: the same one ends in the same places.
    """

    of: EmbeddingSource = EmbeddingSource()
    neighbours: int = 15
    minimum_distance: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            self.of.kind != "umap",
            "A UMAP cannot be laid out again",
            "umap of",
            "Choose components, an autoencoder or a table of obsm",
        )
        require(
            self.neighbours >= 2,
            f"A spot cannot be drawn to {self.neighbours} neighbours",
            "umap neighbours",
            "Set at least 2",
        )
        require(
            math.isfinite(self.minimum_distance) and 0.0 <= self.minimum_distance <= 1.0,
            f"The minimum distance {self.minimum_distance} is outside the valid range",
            "umap minimum_distance",
            "Set a number from 0 to 1",
        )
        require(
            0 <= self.seed < 2**32,
            f"The seed {self.seed} is outside the valid range",
            "umap seed",
            "Set a whole number from 0",
        )
