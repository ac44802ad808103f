"""Neighbours by the Delaunay triangulation of the spots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.spatial import Delaunay, QhullError

from napari_smoother.errors import InputError
from napari_smoother.weights.neighbours import Neighbourhood

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def delaunay_neighbours(positions: ArrayLike, *, longest: float | None = None) -> Neighbourhood:
    """Link spots that share an edge of the Delaunay triangulation, each edge with weight 1.

    The number of neighbours follows the tissue, about six in the plane, whatever the density of
    the spots; edges across gaps and along a concave border are long, which a limit takes away.

    Parameters
    ----------
    positions
        n x 2 or n x 3, any unit.
    longest
        Length of the longest edge that is kept; None keeps all, as squidpy does without a
        radius.

    Returns
    -------
    Neighbourhood
        Weights of 1 and distances.

    Raises
    ------
    InputError
        If positions are not finite numbers, or lie on one line or plane.

    Notes
    -----
    Spots at the same place are linked to one of them, at distance 0.
    """
    points = np.asarray(positions, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
        raise InputError(
            "Positions are not one row of two or three finite numbers a spot",
            where="Delaunay triangulation",
            remedy="Mend the positions",
        )
    if longest is not None and not (np.isfinite(longest) and longest > 0):
        raise InputError(
            f"The longest edge is {longest}",
            where="Delaunay triangulation",
            remedy="Give a positive length in the unit of the positions",
        )
    try:
        # Joggling would move spots; Qhull's own handling of lattices keeps them.
        found = Delaunay(points)
    except (QhullError, ValueError) as fault:
        raise InputError(
            f"{len(points)} spots cannot be triangulated: they are too few, or on one line",
            where="Delaunay triangulation",
            remedy="Take the nearest neighbours, or those within a radius",
        ) from fault
    starts, ends = found.vertex_neighbor_vertices
    rows = np.repeat(np.arange(len(points)), np.diff(starts))
    twins = found.coplanar[:, [0, 2]] if len(found.coplanar) else np.empty((0, 2), dtype=int)
    rows = np.concatenate([rows, twins[:, 0], twins[:, 1]])
    columns = np.concatenate([ends, twins[:, 1], twins[:, 0]])
    lengths = np.linalg.norm(points[rows] - points[columns], axis=1)
    if longest is not None:
        kept = lengths <= longest
        rows, columns, lengths = rows[kept], columns[kept], lengths[kept]
    n = len(points)
    # In the order of rows and columns; what is stored twice would be added up.
    order = np.unique(rows.astype(np.int64) * n + columns, return_index=True)[1]
    places = (rows[order], columns[order])
    weights = csr_array(coo_array((np.ones(len(order)), places), shape=(n, n)))
    distances = csr_array(
        (lengths[order], weights.indices.copy(), weights.indptr.copy()), shape=(n, n)
    )
    for matrix in (weights, distances):
        matrix.indices = matrix.indices.astype(np.int32)
        matrix.indptr = matrix.indptr.astype(np.int32)
        matrix.has_canonical_format = True
    return Neighbourhood(weights, distances)
