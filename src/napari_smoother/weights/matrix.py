"""`SpatialWeightMatrix`: neighbours, scalings and precision in one object."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.solvers.sparse_rows import without_diagonal
from napari_smoother.weights.conversion import as_array, as_csr, sparse_tensor
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.neighbours import (
    Neighbourhood,
    nearest_neighbours,
    neighbours_within,
)
from napari_smoother.weights.precision import Process, check_weights, precision
from napari_smoother.weights.scaled_graph import ScaledGraph, on_pattern

CACHED_PRECISIONS = 4
"""How many precision matrices one object remembers."""

_NORMS = {
    "euclidean": 2.0,
    "l2": 2.0,
    "manhattan": 1.0,
    "cityblock": 1.0,
    "l1": 1.0,
    "chebyshev": np.inf,
}


class SpatialWeightMatrix(ScaledGraph):
    """Weights between neighbouring spots, scaled by what is known about them.

    First a graph from positions (`calc_weights_knn`, `calc_weights_dist`) or a ready-made one
    (`from_graph`), then any scalings one after another: their factors multiply.
    `undo_scaling` takes back the last, `clear_scalings` all. Scalings keep the pattern of the
    graph: an edge cut to 0 stays stored in `swm_scaled`.

    Positions, expression and images may be arrays, tensors, DataFrames or sparse matrices.
    """

    def __init__(self) -> None:
        super().__init__()
        self._precisions: OrderedDict[Any, csr_array] = OrderedDict()

    def __repr__(self) -> str:
        if self._neighbourhood is None:
            return "SpatialWeightMatrix(no graph yet)"
        summary = self.summary()
        scaled = ", ".join(scaling.source for scaling in self._scalings) or "nothing"
        return (
            f"SpatialWeightMatrix({summary.n_spots} spots, {summary.n_edges} edges, "
            f"scaled by {scaled})"
        )

    # --- graphs ---------------------------------------------------------------------------

    def calc_weights_knn(
        self,
        coords: Any,
        k: int = 6,
        symmetric: bool = True,
        row_scale: bool = False,
        verbose: bool = False,
    ) -> None:
        """Link every spot to its k nearest neighbours, with weights of 1.

        Parameters
        ----------
        coords
            Spots x 2 or 3, any unit.
        k
            Number of neighbours. Equal distances, spots at one place and small sections follow
            the rules of `napari_smoother.weights.neighbours.nearest_neighbours`.
        symmetric
            Keep only pairs in which each is among the other's nearest; otherwise pairs in which
            at least one is.
        row_scale
            Divide each row by its sum.
        verbose
            Print the number of spots and the mean number of neighbours.
        """
        found = nearest_neighbours(as_array(coords), k, mutual=symmetric)
        self._begin(found, row_scale, verbose)
        self.config["weight"] = {
            "method": "knn", "k": k, "symmetric": symmetric, "row_scale": row_scale,
        }  # fmt: skip

    def calc_weights_dist(
        self,
        coords: Any,
        scale_coords: bool = True,
        radius_cutoff: float = 1.0,
        band_width: float = 0.1,
        dist_metric: str = "euclidean",
        row_scale: bool = True,
        verbose: bool = False,
    ) -> None:
        """Link spots within a radius, with the weight exp(-d^2 / (2 b^2)).

        Parameters
        ----------
        coords
            Spots x 2 or 3, any unit.
        scale_coords
            Measure the band width in units of the longest side of the section, so that 0.1 is
            a tenth of it; otherwise in the unit of `coords`.
        radius_cutoff
            Largest distance of neighbours, always in the unit of `coords`.
        band_width
            The b of the kernel.
        dist_metric
            ``euclidean`` (``l2``), ``manhattan`` (``l1``, ``cityblock``) or ``chebyshev``.
        row_scale
            Divide each row by its sum.
        verbose
            Print the number of spots and the mean number of neighbours.
        """
        if dist_metric not in _NORMS:
            raise InputError(
                f"Unknown metric {dist_metric!r}",
                where="distance band",
                remedy=f"Take one of {', '.join(_NORMS)}",
            )
        positions = as_array(coords)
        radius = float(radius_cutoff)
        unit = 1.0
        if scale_coords and positions.ndim == 2 and len(positions):
            extent = positions.max(axis=0).astype(np.float64) - positions.min(axis=0)
            unit = float(extent.max()) or 1.0
        found = neighbours_within(
            positions, radius, bandwidth=band_width * unit, norm=_NORMS[dist_metric]
        )
        self._begin(found, row_scale, verbose)
        self.config["weight"] = {
            "method": "dist", "scale_coords": scale_coords, "radius_cutoff": radius,
            "band_width": band_width, "dist_metric": dist_metric, "row_scale": row_scale,
        }  # fmt: skip

    @classmethod
    def from_graph(cls, graph: Any, distances: Any = None) -> Self:
        """Take a ready-made graph, such as ``adata.obsp["spatial_connectivities"]``.

        Parameters
        ----------
        graph
            Spots x spots, sparse or dense, non-negative. Its diagonal is ignored. It may be
            asymmetric; see `napari_smoother.weights.precision` for what that means.
        distances
            Spots x spots distances on the same edges, if known.

        Raises
        ------
        InputError
            If the graph is not square, or has negative or infinite weights.
        """
        given = as_csr(graph)
        pointers, neighbours, entries = without_diagonal(given)
        weights = csr_array((entries, neighbours, pointers), shape=given.shape)
        check_weights(weights)
        lengths = np.full(weights.nnz, np.nan)
        if distances is not None:
            lengths = on_pattern(distances, weights)
        apart = csr_array((lengths, weights.indices, weights.indptr), shape=weights.shape)
        made = cls()
        made._begin(Neighbourhood(weights, apart), False, False)
        made.config["weight"] = {"method": "graph"}
        return made

    # --- what there is ----------------------------------------------------------------------

    @property
    def swm(self) -> torch.Tensor:
        """Weights before scalings: n x n sparse tensor, float32."""
        return sparse_tensor(self.unscaled)

    def precision(self, model: Process, rho: float = 1, standardize: bool = False) -> csr_array:
        """Precision matrix of a process on the scaled weights, as a scipy matrix.

        Parameters
        ----------
        model
            ``car``, ``sar``, ``icar`` or ``isar``.
        rho
            Autocorrelation.
        standardize
            Scale to unit marginal variance.

        Returns
        -------
        precision
            n x n float64. The last few are remembered: do not write into it.

        Raises
        ------
        InputError
            If rho makes it indefinite; the message gives the valid range.
        """
        key = (model, float(rho), bool(standardize))
        if key not in self._precisions:
            self._precisions[key] = precision(
                self.scaled, model, float(rho), standardise=standardize
            )
        self._precisions.move_to_end(key)
        if len(self._precisions) > CACHED_PRECISIONS:
            self._precisions.popitem(last=False)
        return self._precisions[key]

    def get_inv_cov(
        self,
        model: Process,
        rho: float = 1,
        cached: bool = True,
        standardize: bool = False,
        return_sparse: bool = True,
    ) -> torch.Tensor:
        """Precision matrix of a process on the scaled weights, as a tensor.

        Parameters
        ----------
        model
            ``car``, ``sar``, ``icar``, ``isar`` or ``sma``.
        rho
            Autocorrelation.
        cached
            Reuse a matrix computed before with the same settings.
        standardize
            Scale to unit marginal variance.
        return_sparse
            A sparse tensor, or a dense one. The precision of ``sma`` is not sparse: it comes
            sparse in form only, and takes n solves.

        Returns
        -------
        inv_cov
            n x n float32.

        Raises
        ------
        InputError
            If rho makes it indefinite (or, for ``sma``, singular).
        """
        if model == "sma":
            average = MovingAverage(self.scaled, rho, standardise=standardize)
            dense = torch.from_numpy(average.product(np.eye(self.n_spots))).float()
            return dense.to_sparse() if return_sparse else dense
        if not cached:
            self._precisions.pop((model, float(rho), bool(standardize)), None)
        tensor = sparse_tensor(self.precision(model, rho, standardize))
        return tensor if return_sparse else tensor.to_dense()

    # --- inside -----------------------------------------------------------------------------

    def _forget(self) -> None:
        super()._forget()
        self._precisions.clear()
