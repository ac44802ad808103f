"""A graph of spots and the factors its edges are scaled by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.weights.conversion import (
    as_array,
    as_csr,
    as_features,
    is_sparse,
    sampled,
    sparse_tensor,
)
from napari_smoother.weights.histology import spot_colours, spot_patches
from napari_smoother.weights.neighbours import Neighbourhood
from napari_smoother.weights.precision import row_scaled
from napari_smoother.weights.scaling import identity_factors, rows_of, similarity_factors
from napari_smoother.weights.summary import GraphSummary, graph_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_METRICS = {"cosine": "cosine", "cos": "cosine", "euclidean": "euclidean", "eu": "euclidean"}


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """One factor on every edge, and where it comes from."""

    source: str
    factors: NDArray[np.float64]
    settings: dict[str, Any]


class ScaledGraph:
    """A graph, and scalings one after another: their factors multiply.

    `undo_scaling` takes back the last, `clear_scalings` all. Scalings keep the pattern of the
    graph: an edge cut to 0 stays stored in `scaled`.
    """

    def __init__(self) -> None:
        self._neighbourhood: Neighbourhood | None = None
        self._scalings: list[Scaling] = []
        self._scale_rows = False
        self._scaled: csr_array | None = None
        #: Settings of the graph, under "weight", as the calls were made.
        self.config: dict[str, Any] = {}

    def scale_by_similarity(
        self,
        pairwise_sim: Any,
        row_scale: bool = False,
        return_swm: bool = False,
        verbose: bool = False,
    ) -> torch.Tensor | None:
        """Multiply each edge by a given similarity of its two spots.

        Parameters
        ----------
        pairwise_sim
            Spots x spots, dense or sparse; read on the edges only, negative values count as 0.
        row_scale
            Divide each row of the scaled weights by its sum.
        return_swm
            Also return `swm_scaled`.
        verbose
            Print the number of spots and the mean number of neighbours.
        """
        factors = np.maximum(on_pattern(pairwise_sim, self.unscaled), 0.0)
        if not np.isfinite(factors).all():
            raise InputError(
                "Some similarities of neighbours are not finite",
                where="pairwise similarity",
                remedy="Fill missing values first; 0 cuts an edge",
            )
        return self._scale("similarity", factors, {}, row_scale, return_swm, verbose)

    def scale_by_expr(
        self,
        expr: Any,
        dist_metric: str = "cosine",
        reduce: str = "pca",
        dim: int = 10,
        row_scale: bool = False,
        verbose: bool = False,
    ) -> None:
        """Multiply each edge by the similarity of expression of its two spots.

        Parameters
        ----------
        expr
            Genes x spots, dense or sparse.
        dist_metric
            ``cosine``, negative similarity counting as 0, or ``euclidean`` through a Gaussian
            of width 0.1 after dividing by the largest absolute value.
        reduce
            ``pca``: compare leading principal components of standardised genes. ``none``.
        dim
            Number of components.
        row_scale
            Divide each row of the scaled weights by its sum.
        verbose
            Print the number of spots and the mean number of neighbours.
        """
        factors = self._similarity(as_features(expr), dist_metric, reduce, dim)
        settings = {"dist_metric": dist_metric, "reduce": reduce, "dim": dim}
        self._scale("expression", factors, settings, row_scale, False, verbose)

    def scale_by_histology(
        self,
        coords: Any,
        image: Any,
        scale_factors: Mapping[str, float],
        dist_metric: str = "euclidean",
        reduce: str = "pca",
        dim: int = 10,
        row_scale: bool = False,
        verbose: bool = False,
    ) -> None:
        """Multiply each edge by the similarity of the image at its two spots.

        Parameters
        ----------
        coords
            Spots x 2 as (x, y) = (column, row) in full-resolution pixels.
        image
            Rows x columns, or rows x columns x channels; see
            `napari_smoother.weights.histology.channels` for grey and transparent ones.
        scale_factors
            Space Ranger's ``scalefactors_json.json``: ``spot_diameter_fullres``, and
            ``tissue_hires_scalef`` as the scale of the image given.
        dist_metric
            ``euclidean`` or ``cosine``.
        reduce
            ``pca`` of all pixels in the window of a spot, ``mean`` colour of the window, or
            ``none``: all pixels as they are.
        dim
            Number of components.
        row_scale
            Divide each row of the scaled weights by its sum.
        verbose
            Print the number of spots and the mean number of neighbours.
        """
        missing = {"spot_diameter_fullres", "tissue_hires_scalef"} - set(scale_factors)
        if missing:
            raise InputError(
                f"{' and '.join(sorted(missing))} is missing",
                where="scale factors",
                remedy="Pass the content of scalefactors_json.json",
            )
        read = spot_colours if reduce == "mean" else spot_patches
        features = read(
            as_array(coords),
            as_array(image),
            scale=float(scale_factors["tissue_hires_scalef"]),
            diameter=float(scale_factors["spot_diameter_fullres"]),
        )
        factors = self._similarity(features, dist_metric, reduce, dim)
        settings = {
            "dist_metric": dist_metric, "reduce": reduce, "dim": dim,
            "scale_factors": dict(scale_factors),
        }  # fmt: skip
        self._scale("histology", factors, settings, row_scale, False, verbose)

    def scale_by_identity(
        self,
        spot_ids: Any,
        boundary_connectivity: float = 0,
        row_scale: bool = False,
        return_swm: bool = False,
        verbose: bool = False,
    ) -> torch.Tensor | None:
        """Weaken or cut the edges between spots of different regions.

        Parameters
        ----------
        spot_ids
            One label a spot: names, numbers or categories. Missing ones form one region.
        boundary_connectivity
            What an edge between two regions keeps: 0 cuts it, 1 leaves it.
        row_scale
            Divide each row of the scaled weights by its sum.
        return_swm
            Also return `swm_scaled`.
        verbose
            Print the number of spots and the mean number of neighbours.
        """
        factors = identity_factors(self.unscaled, as_array(spot_ids), boundary_connectivity)
        settings = {"boundary_connectivity": boundary_connectivity}
        return self._scale("identity", factors, settings, row_scale, return_swm, verbose)

    def undo_scaling(self) -> None:
        """Take back the last scaling.

        Raises
        ------
        InputError
            If there is none.
        """
        if not self._scalings:
            raise InputError(
                "There is no scaling to undo",
                where="SpatialWeightMatrix",
                remedy="Scale the weights first",
            )
        self._scalings.pop()
        if not self._scalings:
            self._scale_rows = False
        self._forget()

    def clear_scalings(self) -> None:
        """Take back all scalings."""
        self._scalings.clear()
        self._scale_rows = False
        self._forget()

    # --- what there is ----------------------------------------------------------------------

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return self.neighbourhood.n_spots

    @property
    def neighbourhood(self) -> Neighbourhood:
        """The graph before row scaling and scalings, with distances."""
        if self._neighbourhood is None:
            raise InputError(
                "There is no graph yet",
                where="SpatialWeightMatrix",
                remedy="Call calc_weights_knn or calc_weights_dist first",
            )
        return self._neighbourhood

    @property
    def scalings(self) -> tuple[Scaling, ...]:
        """Scalings in the order they were made."""
        return tuple(self._scalings)

    @property
    def unscaled(self) -> csr_array:
        """Weights before scalings, n x n float64."""
        return self.neighbourhood.weights

    @property
    def scaled(self) -> csr_array:
        """Weights after scalings, n x n float64; cut edges are stored zeros."""
        if self._scaled is None:
            plain = self.unscaled
            data = plain.data.copy()
            for scaling in self._scalings:
                data *= scaling.factors
            weights = csr_array((data, plain.indices, plain.indptr), shape=plain.shape)
            self._scaled = row_scaled(weights) if self._scale_rows else weights
        return self._scaled

    @property
    def swm_scaled(self) -> torch.Tensor:
        """Weights after scalings: n x n sparse tensor, float32; cut edges are stored zeros."""
        return sparse_tensor(self.scaled)

    def summary(self) -> GraphSummary:
        """Count edges, pieces and isolated spots after scaling."""
        return graph_summary(self.scaled)

    # --- inside -----------------------------------------------------------------------------

    def _begin(self, found: Neighbourhood, scale_rows: bool, verbose: bool) -> None:
        if scale_rows:
            found = Neighbourhood(row_scaled(found.weights), found.distances)
        self._neighbourhood = found
        self.config = {}
        self.clear_scalings()
        self._tell(verbose)

    def _similarity(
        self, features: Any, dist_metric: str, reduce: str, dim: int
    ) -> NDArray[np.float64]:
        if dist_metric not in _METRICS or reduce not in ("pca", "mean", "none"):
            raise InputError(
                f"Unknown similarity: dist_metric {dist_metric!r}, reduce {reduce!r}",
                where="similarity of spots",
                remedy="Take cosine or euclidean, and pca, mean or none",
            )
        return similarity_factors(
            self.unscaled,
            features,
            metric=_METRICS[dist_metric],
            reduce="pca" if reduce == "pca" else "none",
            n_components=dim,
        )

    def _scale(
        self,
        source: str,
        factors: NDArray[np.float64],
        settings: dict[str, Any],
        scale_rows: bool,
        return_swm: bool,
        verbose: bool,
    ) -> torch.Tensor | None:
        settings = settings | {"row_scale": scale_rows}
        self._scalings.append(Scaling(source, factors, settings))
        self._scale_rows = scale_rows
        self._forget()
        self._tell(verbose)
        return self.swm_scaled if return_swm else None

    def _forget(self) -> None:
        """Drop what was made of the scaled weights."""
        self._scaled = None

    def _tell(self, verbose: bool) -> None:
        if verbose:
            summary = self.summary()
            print(f"{summary.n_spots} spots with {summary.mean_degree:.2f} neighbours on average.")


def on_pattern(matrix: Any, weights: csr_array) -> NDArray[np.float64]:
    """Values of a matrix at the stored entries of another."""
    sparse = is_sparse(matrix) or (
        isinstance(matrix, torch.Tensor) and matrix.layout != torch.strided
    )
    values: Any = as_csr(matrix) if sparse else as_array(matrix)
    if values.shape != weights.shape:
        raise InputError(
            f"The matrix has the shape {values.shape} for {weights.shape[0]} spots",
            where="pairwise similarity",
            remedy="Give spots x spots",
        )
    rows, columns = rows_of(weights), weights.indices
    return sampled(values, rows, columns) if sparse else values[rows, columns].astype(np.float64)
