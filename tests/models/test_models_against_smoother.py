"""The same inputs through smoother-omics, where it is installed: its objective, our optimum."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.models.impute import ImputeTorch
from napari_smoother.models.reduction import SpatialPCA

smoother = pytest.importorskip("smoother", reason="needs smoother-omics")

pytestmark = pytest.mark.filterwarnings("ignore")
POSITIONS = np.random.default_rng(0).random((80, 2))


def both_losses() -> tuple[SpatialLoss, Any]:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(POSITIONS, k=6)
    theirs = smoother.SpatialWeightMatrix()
    theirs.calc_weights_knn(torch.from_numpy(POSITIONS), k=6, verbose=False)
    return SpatialLoss("icar", weights, rho=0.9), smoother.SpatialLoss("icar", theirs, rho=0.9)


def their_components() -> Any:
    """The module by its file: its package imports scvi-tools, which this does not need."""
    folder = Path(smoother.__file__).parent
    spec = importlib.util.spec_from_file_location(
        "their_components", folder / "models" / "reduction" / "_sppca.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SpatialPCA


def test_spatial_components_of_the_same_objective():
    ours, theirs = both_losses()
    random = np.random.default_rng(1)
    values = random.standard_normal((80, 12)) * np.linspace(3, 0.5, 12)
    adata = ad.AnnData((values - values.mean(axis=0)).astype(np.float32))
    model = SpatialPCA(adata, None, 3, ours, 0.1)
    model.reduce()
    torch.manual_seed(0)
    other = their_components()(adata, None, 3, theirs, 0.1)
    other.reduce(max_epochs=3000, tol=1e-10, patience=500, verbose=False, quite=True)
    reached = other.dr_logs["total_loss"][-1]
    # Float32, and an optimiser that stops: never better, and as good to three digits.
    assert model.report.objective <= reached + 1e-6 * abs(reached)
    assert reached == pytest.approx(model.report.objective, rel=1e-3)


@pytest.mark.parametrize("fixed", [True, False])
def test_imputation_of_the_same_objective(fixed):
    from smoother.models.impute import ImputeTorch as Theirs

    ours, theirs = both_losses()
    known = np.random.default_rng(2).random((50, 3)).astype(np.float32) + 1
    model = ImputeTorch(torch.from_numpy(known), ours, fixed_obs=fixed, lambda_spatial_loss=2.0)
    other = Theirs(
        torch.from_numpy(known), theirs, fixed_obs=fixed,
        lambda_spatial_loss=2.0, lr=0.02, max_epochs=4000, patience=500, tol=1e-9, quiet=True,
    )  # fmt: skip
    np.testing.assert_allclose(model.get_results(), other.get_results(), atol=0.02)
