"""Imputation against dense solves, a convex solver, and values known beforehand."""

from __future__ import annotations

import json

import anndata as ad
import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from napari_smoother import SpatialLoss, SpatialWeightMatrix, impute, predict_at
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.impute import (
    ImputeModel,
    ImputeTorch,
    denser_positions,
    impute_missing,
)
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

SEEN = np.random.default_rng(7).random(90) < 0.6


def loss_of(prior: str = "icar", rho: float = 0.99, n: int = 90) -> SpatialLoss:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(np.random.default_rng(0).random((n, 2)), k=6, symmetric=False)
    return SpatialLoss(prior, weights, rho=rho)


def dense(loss: SpatialLoss) -> np.ndarray:
    q = loss.precisions[0]
    return q.toarray() if sparse.issparse(q) else q.product(np.eye(q.shape[0]))


def observations(low: float = 0.0) -> np.ndarray:
    return np.random.default_rng(1).random((int(SEEN.sum()), 5)) * 3 + low


@pytest.mark.filterwarnings("ignore:With rho = 1 the precision is singular")
@pytest.mark.parametrize(
    ("prior", "rho"),
    [("icar", 0.99), ("icar", 1.0), ("car", 0.1), ("sar", 0.1), ("isar", 0.95), ("sma", 0.1)],
)
class TestClosedForms:
    def test_fixed_observations(self, prior, rho):
        loss, known = loss_of(prior, rho), observations()
        q = dense(loss)
        truth = np.linalg.solve(q[~SEEN][:, ~SEEN], -q[~SEEN][:, SEEN] @ known)
        found = impute_missing(known, SEEN, loss.precisions[0])
        np.testing.assert_allclose(found.values[~SEEN], truth, atol=1e-8)
        assert np.array_equal(found.values[SEEN], known)
        assert found.report.converged
        assert not found.unreached.any()

    @pytest.mark.parametrize("strength", [1e-3, 1.0, 1e5])
    def test_free_observations(self, prior, rho, strength):
        loss, known = loss_of(prior, rho), observations()
        q, marks = dense(loss), np.diag(SEEN.astype(float))
        right = np.zeros((90, 5))
        right[SEEN] = known
        truth = np.linalg.solve(marks + strength * SEEN.mean() * q, right)
        found = impute_missing(known, SEEN, loss.precisions[0], lambda_=strength, fixed=False)
        np.testing.assert_allclose(found.values, truth, atol=1e-7)
        objective = np.square(truth[SEEN] - known).mean()
        objective += strength * np.vdot(truth, q @ truth) / truth.size
        assert found.report.objective == pytest.approx(objective, rel=1e-6)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize(("prior", "rho"), [("sar", 0.16), ("isar", 0.95)])
def test_the_bound_at_zero_against_a_convex_solver(prior, rho, fixed):
    loss = loss_of(prior, rho)
    # A few high values beside zeros: these priors overshoot.
    known = observations()
    known[known < 2.5] = 0
    q = dense(loss)
    free = impute_missing(known, SEEN, loss.precisions[0], fixed=fixed, lambda_=2.0)
    assert free.values.min() < -1e-3
    found = impute_missing(known, SEEN, loss.precisions[0], fixed=fixed, lambda_=2.0, nonneg=True)
    assert found.values.min() >= 0
    assert found.report.n_bounded > 0
    v = cp.Variable((90, 5), nonneg=True)
    root = np.linalg.cholesky(q + 1e-12 * np.eye(90)).T
    rough = 2.0 * cp.sum_squares(root @ v) / v.size
    if fixed:
        problem = cp.Problem(cp.Minimize(rough), [v[np.flatnonzero(SEEN)] == known])
    else:
        apart = cp.sum_squares(v[np.flatnonzero(SEEN)] - known) / known.size
        problem = cp.Problem(cp.Minimize(apart + rough))
    problem.solve(solver="CLARABEL")
    assert found.report.objective == pytest.approx(problem.value, rel=1e-5)
    np.testing.assert_allclose(found.values, v.value, atol=2e-3)


def test_nothing_is_bounded_where_the_answer_is_positive_anyway():
    found = impute_missing(observations(), SEEN, loss_of().precisions[0], nonneg=True)
    assert found.report.n_bounded == 0
    assert found.report.method == "factorisation"


def test_pieces_without_observation_are_reported_and_left_missing():
    positions = np.random.default_rng(2).random((60, 2))
    positions[40:] += 50
    positions[0] = [1e4, 0]
    weights = SpatialWeightMatrix()
    weights.calc_weights_dist(
        positions, scale_coords=False, radius_cutoff=2, band_width=1, row_scale=False
    )
    seen = np.zeros(60, dtype=bool)
    seen[1:20] = True
    q = weights.precision("icar", 1.0)
    for fixed in (True, False):
        with pytest.warns(UserWarning, match="21 spots are in pieces"):
            found = impute_missing(np.full((19, 2), 4.0), seen, q, fixed=fixed)
        expected = np.zeros(60, dtype=bool)
        expected[[0, *range(40, 60)]] = True
        assert np.array_equal(found.unreached, expected)
        assert np.isnan(found.values[expected]).all()
        np.testing.assert_allclose(found.values[~expected], 4.0, atol=1e-8)
        assert found.report.n_unreached == 21
        assert np.isfinite(found.report.objective)


@pytest.mark.parametrize("fixed", [True, False])
def test_what_is_out_of_reach_changes_nothing_for_the_rest(fixed):
    """Nor does a diagonal that is not stored, or an entry stored in two parts."""
    one, known = loss_of().precisions[0], observations()
    alone = impute_missing(known, SEEN, one, fixed=fixed, lambda_=3.0)
    beside = sparse.csr_array((4, 4))
    parted = sparse.csr_array(sparse.block_diag([one, beside, one[:7, :7]]))
    seen = np.zeros(101, dtype=bool)
    seen[:90] = SEEN
    halves = (np.repeat(parted.data / 2, 2), np.repeat(parted.indices, 2), 2 * parted.indptr)
    for q in (parted, sparse.csr_array(halves, shape=parted.shape)):
        with pytest.warns(UserWarning, match="11 spots are in pieces"):
            found = impute_missing(known, seen, q, fixed=fixed, lambda_=3.0)
        np.testing.assert_allclose(found.values[:90], alone.values, atol=1e-10)
        assert np.isnan(found.values[90:]).all()
        assert found.report.objective == pytest.approx(alone.report.objective, rel=1e-10)


def test_a_line_between_two_values_is_straight():
    n = 51
    line = sparse.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1]).tocsr()
    q = precision(sparse.csr_array(line), "icar", 1.0)
    found = impute_missing(np.array([[0.0], [5.0]]), [0, n - 1], q)
    np.testing.assert_allclose(found.values[:, 0], np.linspace(0, 5, n), atol=1e-10)


def test_lambda_zero_is_the_limit_and_one_spot_stays():
    q = loss_of().precisions[0]
    limit = impute_missing(observations(), SEEN, q, fixed=False, lambda_=0)
    fixed = impute_missing(observations(), SEEN, q)
    np.testing.assert_array_equal(limit.values, fixed.values)
    one = impute_missing(np.array([[3.0]]), [True], sparse.csr_array([[1.0]]))
    assert one.values.tolist() == [[3.0]]


def test_graphs_hard_to_factor_are_iterated_to_the_same_answer(monkeypatch):
    from napari_smoother.solvers import positive_systems

    random = np.random.default_rng(3)
    q = precision(
        nearest_neighbours(random.random((4000, 2)), 6, mutual=False).weights, "icar", 1.0
    )
    seen = random.random(4000) < 0.3
    known = random.random((int(seen.sum()), 3))
    exact = [impute_missing(known, seen, q, fixed=fixed).values for fixed in (True, False)]
    monkeypatch.setattr(positive_systems, "MOST_MULTIPLICATIONS", 0)
    for fixed, truth in zip((True, False), exact, strict=True):
        found = impute_missing(known, seen, q, fixed=fixed)
        assert found.report.method == "multigrid"
        np.testing.assert_allclose(found.values, truth, atol=1e-4)


def test_the_life_of_the_field_s_package_works_as_written():
    loss, known = loss_of(), observations()
    first = np.zeros(90, dtype=bool)
    first[: len(known)] = True
    truth = impute_missing(known, first, loss.precisions[0]).values
    with pytest.warns(UserWarning, match="lr, max_epochs is ignored"):
        model = ImputeTorch(
            torch.from_numpy(known), loss, fixed_obs=True, nonneg=False,
            lambda_spatial_loss=1.0, lr=1e-3, max_epochs=1000, quiet=True,
        )  # fmt: skip
    assert isinstance(model.get_results(), torch.Tensor)
    np.testing.assert_array_equal(model.get_results().numpy(), truth)
    again = model(torch.from_numpy(known[:, :2]))
    np.testing.assert_allclose(again.numpy(), truth[:, :2], atol=1e-12)
    assert (model.n_all, model.n_obs, model.n_missing, model.n_feature) == (
        90,
        len(known),
        90 - len(known),
        2,
    )
    frame = pd.DataFrame(known, columns=list("abcde"))
    assert ImputeModel(frame, loss).get_results().columns.tolist() == list("abcde")
    thin = ImputeModel(sparse.csr_matrix(known), loss, observed=SEEN)
    np.testing.assert_array_equal(thin.values[SEEN], known)


def test_faults_and_cancel():
    q, known = loss_of().precisions[0], observations()
    with pytest.raises(InputError, match="shape"):
        impute_missing(known[1:], SEEN, q)
    with pytest.raises(InputError, match="not finite"):
        impute_missing(known * np.nan, SEEN, q)
    with pytest.raises(InputError, match="one True"):
        impute_missing(known[:0], np.zeros(90, bool), q)
    with pytest.raises(InputError, match="increasing"):
        impute_missing(known[:2], [3, 1], q)
    with pytest.raises(InputError, match="negative"):
        impute_missing(observations(-1), SEEN, q, nonneg=True)
    with pytest.raises(InputError, match="lambda"):
        impute_missing(known, SEEN, q, lambda_=-1)
    with pytest.raises(Cancelled):
        impute_missing(known, SEEN, q, cancelled=lambda: True)
    with pytest.raises(TypeError, match="rate"):
        ImputeModel(known, loss_of(), rate=1)


def section() -> ad.AnnData:
    random = np.random.default_rng(0)
    positions = random.random((90, 2)) * 1000
    level = 1 + np.cos(positions[:, :1] / 200)
    adata = ad.AnnData(
        sparse.csr_matrix(random.poisson(np.broadcast_to(level * 2, (90, 8))).astype(np.float32)),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(8)]),
    )
    adata.obsm["spatial"] = positions
    return adata


@pytest.mark.filterwarnings("ignore:.*pieces of the graph")
class TestAnnotated:
    def test_a_section_gets_a_layer_and_a_recipe(self):
        adata = section()
        adata.obs["seen"] = SEEN
        impute(adata, layer="X", observed="seen", lambda_=0.5)
        q = precision(nearest_neighbours(adata.obsm["spatial"], 6).weights, "icar", 1.0)
        truth = impute_missing(adata.X[SEEN], SEEN, q, lambda_=0.5, fixed=False)
        np.testing.assert_allclose(adata.layers["imputed"], truth.values, rtol=1e-5, atol=1e-6)
        assert adata.layers["imputed"].dtype == np.float32
        stored = adata.uns["smoother"]["imputed"]
        assert json.loads(json.dumps(stored)) == stored
        assert stored["recipe"]["observed"] == 'obs["seen"]'
        assert stored["report"]["n_observed"] == SEEN.sum()

    def test_chosen_genes_go_into_a_table(self):
        adata = section()
        out = impute(adata, ["gene5", "gene1"], copy=True)
        whole = impute(adata, copy=True).layers["imputed"]
        assert out.obsm["imputed"].columns.tolist() == ["gene5", "gene1"]
        np.testing.assert_allclose(out.obsm["imputed"]["gene5"], whole[:, 5], rtol=1e-5, atol=1e-6)
        assert "imputed" not in adata.layers

    def test_faults_leave_nothing_behind(self):
        adata = section()
        for broken in ({"genes": ["no"]}, {"observed": "no"}, {"layer": "no"}):
            with pytest.raises(InputError):
                impute(adata, **broken)
        with pytest.raises(Cancelled):
            impute(adata, cancelled=lambda: True)
        assert not adata.layers
        assert "smoother" not in adata.uns

    def test_prediction_between_spots_follows_a_plane(self):
        x, y = np.meshgrid(np.arange(20.0), np.arange(20.0))
        adata = ad.AnnData(np.stack([x.ravel(), 2 * y.ravel()], axis=1))
        adata.obsm["spatial"] = np.stack([x.ravel(), y.ravel()], axis=1)
        # Midpoints of squares, in the middle of the section.
        new = np.stack(np.meshgrid(np.arange(5.5, 13), np.arange(5.5, 13)), axis=-1).reshape(-1, 2)
        found = predict_at(adata, new, layer="X", n_neighbors=4)
        np.testing.assert_allclose(found.X[:, 0], new[:, 0], atol=1e-5)
        np.testing.assert_allclose(found.X[:, 1], 2 * new[:, 1], atol=1e-5)
        np.testing.assert_array_equal(found.obsm["spatial"], new)
        assert found.var_names.equals(adata.var_names)

    def test_denser_positions_cover_the_tissue_and_nothing_else(self):
        spots = section().obsm["spatial"][:60]
        lattice = denser_positions(spots, 3)
        apart = np.linalg.norm(spots[:, None] - spots[None], axis=2)
        ranked = np.sort(apart, axis=1)
        spacing = np.median(ranked[:, 4])
        gap = np.linalg.norm(lattice[:, None] - spots[None], axis=2)
        assert gap.min(axis=1).max() <= 0.75 * spacing + 1e-9
        # Every spot has a new position within a step.
        assert gap.min(axis=0).max() <= spacing / 3
        np.testing.assert_allclose(denser_positions(spots * 7, 3), 7 * lattice, atol=1e-6)
        # Nor does it leave holes between cells that are as near to each other as most.
        between = np.random.default_rng(3).random((500, 2)) * 1000
        to_spot = np.linalg.norm(between[:, None] - spots[None], axis=2).min(axis=1)
        inside = between[to_spot < 0.7 * spacing]
        to_lattice = np.linalg.norm(inside[:, None] - lattice[None], axis=2).min(axis=1)
        assert to_lattice.max() <= spacing / 3
        for broken in (spots[:1], spots * np.nan):
            with pytest.raises(InputError):
                denser_positions(broken)
        with pytest.raises(InputError, match="factor"):
            denser_positions(spots, 0.5)

    def test_denser_positions_go_as_far_as_half_way_on_a_lattice(self):
        row, column = np.indices((12, 12)).reshape(2, -1)
        spots = 100 * np.stack([column + 0.5 * (row % 2), np.sqrt(0.75) * row], axis=1)
        gap = np.linalg.norm(denser_positions(spots, 4)[:, None] - spots[None], axis=2)
        assert 70 < gap.min(axis=1).max() <= 75
