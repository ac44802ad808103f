"""Problems for the bounded quadratic solver, and what their answers have to satisfy."""

from __future__ import annotations

import cvxpy
import numpy as np
import scipy.sparse as sparse
from scipy.spatial import cKDTree

from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic


def neighbour_weights(spots: int, seed: int = 0, neighbours: int = 6) -> sparse.csr_array:
    """Mutual nearest neighbours of random positions."""
    positions = np.random.default_rng(seed).random((spots, 2))
    _, index = cKDTree(positions).query(positions, k=neighbours + 1)
    rows = np.repeat(np.arange(spots), neighbours)
    ones = np.ones(rows.size)
    directed = sparse.csr_array((ones, (rows, index[:, 1:].ravel())), shape=(spots, spots))
    return sparse.csr_array(directed.minimum(directed.T))


def intrinsic_precision(weights: sparse.csr_array, rho: float) -> sparse.csr_array:
    """D - rho W."""
    degree = np.asarray(weights.sum(axis=1)).ravel()
    return sparse.csr_array(sparse.diags_array(degree) - rho * weights)


def noisy_data(spots: int, types: int, seed: int = 0, genes: int = 40):
    """A signature of similar types and few counts: A, C and the signature and counts."""
    random = np.random.default_rng(seed)
    base = random.lognormal(0.0, 1.0, (genes, 1))
    signature = base * np.exp(0.4 * random.standard_normal((genes, types)))
    abundance = random.gamma(0.4, 1.0, (spots, types))
    counts = random.poisson(abundance @ signature.T).astype(float)
    return signature.T @ signature, counts @ signature, signature, counts


def objective(gram, linear, precision, weight, values):
    b = np.asarray(values, dtype=np.float64)
    data = 0.5 * np.sum((b @ gram) * b) - np.sum(linear * b)
    return data + 0.5 * weight * np.sum(b * (precision @ b))


def projected_gradient(gram, linear, precision, weight, values, bounded=True):
    """KKT residual from its definition, float64: norm of B - max(B - g, 0) where B is zero."""
    b = np.asarray(values, dtype=np.float64)
    slope = b @ gram + weight * (precision @ b) - linear
    if bounded:
        slope = np.where((b <= 0) & (slope > 0), 0.0, slope)
    return np.linalg.norm(slope) / np.linalg.norm(linear)


def best_known(gram, linear, precision, weight):
    """The optimum by an interior-point method in float64."""
    spots, types = linear.shape
    hessian = sparse.kron(sparse.eye_array(spots), gram) + weight * sparse.kron(
        precision, sparse.eye_array(types)
    )
    unknown = cvxpy.Variable(spots * types, nonneg=True)
    target = linear.ravel()
    form = cvxpy.quad_form(unknown, cvxpy.psd_wrap(sparse.csc_matrix(hessian)))
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * form - target @ unknown))
    for accuracy in (1e-10, 1e-8):
        problem.solve(
            solver=cvxpy.CLARABEL,
            tol_gap_abs=accuracy,
            tol_gap_rel=accuracy,
            tol_feas=accuracy,
        )
        if problem.status == "optimal":
            break
    return problem.value, np.maximum(unknown.value.reshape(spots, types), 0)


def solve(gram, linear, precision, weight, **settings):
    return solve_bounded_quadratic(
        DataTerm.prepare(gram, linear), PriorTerm.prepare(precision), weight, **settings
    )
