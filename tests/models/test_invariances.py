"""What must not matter to a result: the order of spots and genes, and units.

Through the functions on AnnData, so graph, preparation and solver are all on the way.
"""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_smoother as ns

SPOTS, GENES, TYPES = 60, 25, 4

seeds = st.integers(0, 10_000)
priors = st.tuples(
    st.sampled_from(["icar", "isar"]),
    st.sampled_from([0.5, 0.99, 1.0]),
    st.sampled_from([0.0, 0.1, 10.0, 1e3]),
)
few = settings(max_examples=12, deadline=None)


def a_section(seed: int) -> tuple[ad.AnnData, pd.DataFrame]:
    """Counts of a mixture on positions without equal distances, and its signature."""
    random = np.random.default_rng(seed)
    names = [f"gene{i}" for i in range(GENES)]
    signature = random.gamma(1.0, 5.0, (GENES, TYPES)) + 0.1
    share = random.dirichlet(np.ones(TYPES), SPOTS)
    counts = random.poisson(share @ signature.T * 4).astype(np.float64)
    counts[0, 0] += 1  # no section without any count
    adata = ad.AnnData(
        counts,
        obs=pd.DataFrame(index=[f"spot{i}" for i in range(SPOTS)]),
        var=pd.DataFrame(index=names),
        obsm={"spatial": random.uniform(0, 1000, (SPOTS, 2))},
    )
    return adata, pd.DataFrame(signature, index=names, columns=list("abcd"))


def proportions(adata: ad.AnnData, signature: pd.DataFrame, prior: tuple) -> pd.DataFrame:
    process, rho, lambda_ = prior
    found = ns.deconvolve(
        adata,
        signature,
        process=process,
        rho=rho,
        lambda_=lambda_,
        tolerance=1e-9,
        copy=True,
    )
    assert found is not None
    assert found.uns["smoother"]["nnls"]["report"]["converged"]
    return found.obsm["nnls"]


@few
@given(seed=seeds, prior=priors)
def test_order_of_spots_and_genes_does_not_matter_to_composition(seed, prior) -> None:
    adata, signature = a_section(seed)
    random = np.random.default_rng(seed + 1)
    shuffled = adata[random.permutation(SPOTS), random.permutation(GENES)].copy()
    other = proportions(shuffled, signature.iloc[::-1, ::-1], prior)
    one = proportions(adata, signature, prior)
    np.testing.assert_allclose(other.loc[one.index, one.columns], one, atol=1e-5)


@few
@given(
    seed=seeds,
    prior=priors,
    unit=st.floats(1e-3, 1e3),
    angle=st.floats(0.1, 6),
    gain=st.floats(0.1, 100),
)
def test_units_do_not_matter_to_composition(seed, prior, unit, angle, gain) -> None:
    """Neither the unit and turn of positions, nor the unit of the signature."""
    adata, signature = a_section(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = adata.copy()
    moved.obsm["spatial"] = adata.obsm["spatial"] @ turn.T * unit + 5 * unit
    one = proportions(adata, signature, prior)
    other = proportions(moved, signature * gain, prior)
    np.testing.assert_allclose(other, one, atol=1e-5)


@few
@given(seed=seeds, lambda_=st.sampled_from([0.0, 0.1, 1.0]), unit=st.floats(0.01, 100))
def test_order_and_units_do_not_matter_to_components(seed, lambda_, unit) -> None:
    adata, _ = a_section(seed)
    random = np.random.default_rng(seed + 1)
    order = random.permutation(SPOTS)
    shuffled = adata[order, random.permutation(GENES)].copy()
    shuffled.obsm["spatial"] *= unit
    for section in (adata, shuffled):
        ns.spatial_pca(section, n_latent=3, lambda_=lambda_, smoothing=0.0, tolerance=1e-10)
    one, other = adata.obsm["X_spatial_pca"][order], shuffled.obsm["X_spatial_pca"]
    # Components of nearly the same eigenvalue may turn within their plane: compare the plane.
    np.testing.assert_allclose(
        other @ np.linalg.lstsq(other, one, rcond=None)[0], one, atol=1e-4 * np.abs(one).max()
    )


@few
@given(seed=seeds, fixed=st.booleans(), unit=st.floats(0.01, 100))
def test_order_and_units_do_not_matter_to_imputation(seed, fixed, unit) -> None:
    adata, _ = a_section(seed)
    random = np.random.default_rng(seed + 1)
    adata.obs["seen"] = random.random(SPOTS) < 0.6
    adata.obs.loc["spot0", "seen"] = True
    order = random.permutation(SPOTS)
    other = adata[order].copy()
    other.obsm["spatial"] *= unit
    other.X = other.X * unit
    for section in (adata, other):
        with warnings.catch_warnings():
            # A piece of the graph without any observation is told of, and is NaN in both.
            warnings.simplefilter("ignore", UserWarning)
            ns.impute(section, layer="X", observed="seen", fixed=fixed)
    one = np.asarray(adata.layers["imputed"], dtype=np.float64)[order]
    np.testing.assert_allclose(
        np.asarray(other.layers["imputed"], dtype=np.float64) / unit, one, rtol=1e-4, atol=1e-4
    )
