"""Spatial components and the spatial autoencoder beside smoother-omics, on the same input.

Prints markdown tables. Run from the repository: ``python benchmarks/reduction.py``, with
``smoother-omics`` 1.1.0 on the path; without it only our own rows are printed. Rows of the
autoencoder need scvi-tools.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import torch
from scipy import sparse

from napari_smoother import SpatialLoss, SpatialWeightMatrix
from napari_smoother.models.reduction import SpatialPCA, smooth_embedding
from napari_smoother.solvers.spatial_eigen import leading_eigenvectors
from napari_smoother.solvers.spatial_scatter import SpatialScatter

REPEATS = 3
LAMBDA = 0.1


def simulated(n: int, genes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions without equal distances, and scaled float32 expression with smooth patterns."""
    random = np.random.default_rng(seed)
    positions = random.random((n, 2))
    waves = np.cos(positions @ random.uniform(1, 12, (2, 40)) + random.uniform(0, 6, 40))
    strength = np.linspace(0.5, 0.05, 40)[:, None]
    values = waves.astype(np.float32) @ (strength * random.standard_normal((40, genes))).astype(
        np.float32
    )
    values += random.standard_normal((n, genes), dtype=np.float32)
    values -= values.mean(axis=0)
    values /= values.std(axis=0)
    return positions, values


def weights_of(positions: np.ndarray) -> SpatialWeightMatrix:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(positions, k=6)
    return weights


def timed(work: Any, repeats: int = REPEATS) -> tuple[float, Any]:
    """Best time and last answer."""
    best, answer = np.inf, None
    for _ in range(repeats):
        began = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - began)
    return best, answer


def objective(loadings: np.ndarray, values: np.ndarray, q: Any, strength: float) -> float:
    """Loss of orthonormal loadings, in float64."""
    basis = np.linalg.qr(loadings.astype(np.float64))[0]
    scores = values.astype(np.float64) @ basis
    return float((strength * np.vdot(scores, q @ scores) - np.vdot(scores, scores)) / scores.size)


def peer(path: str) -> Any:
    """A module of smoother-omics by its file, without the package's other imports; or None."""
    found = importlib.util.find_spec("smoother")
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0]) / path
    spec = importlib.util.spec_from_file_location(f"peer_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peer_loss(positions: np.ndarray, rho: float) -> Any:
    import smoother

    weights = smoother.SpatialWeightMatrix()
    weights.calc_weights_knn(torch.from_numpy(positions), k=6, verbose=False)
    return smoother.SpatialLoss("icar", weights, rho=rho)


def show(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n### {title}\n")
    for line in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(line) + " |")


def components(n: int = 4096, genes: int = 2000, k: int = 30) -> None:
    positions, values = simulated(n, genes)
    loss = SpatialLoss("icar", weights_of(positions), rho=0.99)
    q = loss.precisions[0]
    adata = ad.AnnData(values)

    def ours() -> SpatialPCA:
        model = SpatialPCA(adata, None, k, loss, LAMBDA)
        model.reduce()
        return model

    ours()
    seconds, model = timed(ours)
    assert model.report is not None
    rows = [
        [
            f"here ({model.report.method}, {model.report.products} products)",
            f"{seconds:.3f}",
            f"{objective(model.U, values, q, LAMBDA):.8f}",
            f"{model.report.residual:.1e}",
            "1",
        ]
    ]
    scatter = SpatialScatter(values, q)
    from napari_smoother.solvers import spatial_eigen

    def whole() -> np.ndarray:
        return spatial_eigen._decomposed(scatter, LAMBDA, k, lambda: None)

    began = time.perf_counter()
    exact = whole()
    formed = time.perf_counter() - began
    again = timed(whole)[0]
    for name, took in (("whole matrix, formed", formed), ("whole matrix, other lambda", again)):
        rows.append(
            [
                f"here ({name})", f"{took:.3f}", f"{objective(exact, values, q, LAMBDA):.8f}",
                "–", f"{took / seconds:.1f}",
            ]
        )  # fmt: skip
    fresh = SpatialScatter(values, q)
    leading_eigenvectors(fresh, LAMBDA, k)  # what is made once
    moved, warm = timed(lambda: leading_eigenvectors(fresh, LAMBDA * 1.5, k, start=model.U))
    rows.append(
        [
            f"here (lambda {LAMBDA * 1.5:g} from the answer for {LAMBDA:g})", f"{moved:.3f}",
            f"{objective(warm.vectors, values, q, LAMBDA * 1.5):.8f}", f"{warm.residual:.1e}", "–",
        ]
    )  # fmt: skip
    moved, warm = timed(lambda: leading_eigenvectors(scatter, LAMBDA * 2, k, start=model.U))
    rows.append(
        [
            f"here (lambda {LAMBDA * 2:g} likewise, matrices formed before)", f"{moved:.3f}",
            f"{objective(warm.vectors, values, q, LAMBDA * 2):.8f}", f"{warm.residual:.1e}", "–",
        ]
    )  # fmt: skip
    package = peer("models/reduction/_sppca.py")
    if package is not None:
        theirs = peer_loss(positions, 0.99)
        for name, settings in (
            ("defaults", {}),
            ("tol 1e-9, patience 200", {"tol": 1e-9, "patience": 200}),
        ):

            def fit(settings: dict[str, Any] = settings) -> Any:
                torch.manual_seed(0)
                made = package.SpatialPCA(adata, None, k, theirs, LAMBDA)
                made.reduce(verbose=False, quite=True, **settings)
                return made

            took, made = timed(fit, 1)
            found = made.U.detach().numpy()
            rows.append(
                [
                    f"smoother-omics, {name}", f"{took:.3f}",
                    f"{objective(found, values, q, LAMBDA):.8f}", "–", f"{took / seconds:.1f}",
                ]
            )  # fmt: skip
    head = ["SpatialPCA", "seconds", "objective", "residual", "times ours"]
    show(f"{n} spots, {genes} genes, {k} components, lambda {LAMBDA:g}", head, rows)

    latent = model.get_latent_representation()
    rows = []
    for strength in (1.0, 100.0):
        took, smooth = timed(lambda strength=strength: smooth_embedding(latent, loss, strength))
        left = smooth + strength * (q @ smooth) - latent
        rows.append([f"{strength:g}", f"{took:.3f}", f"{np.abs(left).max():.1e}"])
    show(f"Smoothed embedding, {n} x {k}", ["lambda", "seconds", "largest residual"], rows)


def principal(n: int = 4096, genes: int = 2000, k: int = 30) -> None:
    """Without the prior both find the leading principal components."""
    from sklearn.decomposition import PCA

    positions, values = simulated(n, genes)
    loss = SpatialLoss("icar", weights_of(positions), rho=0.99)
    adata = ad.AnnData(values)

    def ours() -> np.ndarray:
        model = SpatialPCA(adata, None, k, loss, 0.0)
        model.reduce()
        return model.U

    ours()
    rows = []
    seconds = np.nan
    q = loss.precisions[0]
    for name, work in (
        ("here", ours),
        ("scikit-learn, arpack", lambda: PCA(k, svd_solver="arpack").fit(values).components_.T),
        (
            "scikit-learn, covariance_eigh",
            lambda: PCA(k, svd_solver="covariance_eigh").fit(values).components_.T,
        ),
        (
            "scikit-learn, randomized",
            lambda: PCA(k, svd_solver="randomized", random_state=0).fit(values).components_.T,
        ),
    ):
        took, found = timed(work)
        seconds = took if np.isnan(seconds) else seconds
        rows.append(
            [name, f"{took:.3f}", f"{objective(found, values, q, 0.0):.8f}",
             f"{took / seconds:.1f}"]
        )  # fmt: skip
    head = ["principal components (lambda 0)", "seconds", "objective", "times ours"]
    show(f"{n} spots, {genes} genes, {k} components, no prior", head, rows)


def large(n: int = 50_000, genes: int = 2000, k: int = 30) -> None:
    positions, values = simulated(n, genes)
    q = weights_of(positions).precision("icar", 0.99)
    rows = []
    kept = np.random.default_rng(1).random(values.shape, dtype=np.float32) < 0.05
    for name, data in (("dense", values), ("sparse, 5 %", sparse.csr_array(values * kept))):
        scatter = SpatialScatter(data, q)
        took, found = timed(lambda scatter=scatter: leading_eigenvectors(scatter, LAMBDA, k), 2)
        rows.append(
            [name, f"{took:.2f}", str(found.products), f"{found.residual:.1e}", found.method]
        )
    head = ["expression", "seconds", "products", "residual", "method"]
    show(f"{n} spots, {genes} genes, {k} components", head, rows)


def autoencoder(n: int = 1024, genes: int = 200, epochs: int = 40) -> None:
    try:
        import scvi

        from napari_smoother.models.reduction import SpatialVAE
    except ImportError:
        print("\nscvi-tools is not installed: no rows for the autoencoder")
        return
    random = np.random.default_rng(0)
    positions = random.random((n, 2))
    level = 1 + np.cos(positions[:, :1] * 6) * random.random(genes)
    adata = ad.AnnData(random.poisson(3 * level).astype(np.float32))
    loss = SpatialLoss("icar", weights_of(positions), rho=0.99)
    theirs: Any = None
    if importlib.util.find_spec("smoother") is not None:
        # It asks for jax and uses nothing of it; without this line its default cannot be made.
        sys.modules.setdefault("jax", types.ModuleType("jax"))
        from smoother.models.reduction import SpatialVAE as theirs
    rows = []
    for likelihood in ("poisson", "nb", "zinb", "normal"):
        SpatialVAE.setup_anndata(adata)
        SpatialVAE(st_adata=adata, spatial_loss=loss, gene_likelihood=likelihood).train(
            2, accelerator="cpu"
        )
        model = SpatialVAE(st_adata=adata, spatial_loss=loss, gene_likelihood=likelihood)
        model.train(epochs, accelerator="cpu")
        row = [likelihood, f"{1000 * model.dr_logs['elapsed_time'] / epochs:.0f}"]
        row.append(f"{model.dr_logs['recon_loss'][-1]:.2f}")
        if theirs is not None:
            scvi.settings.batch_size = n  # as shipped it fails above 128 spots
            theirs.setup_anndata(adata)
            other = theirs(
                adata, spatial_loss=peer_loss(positions, 0.99), gene_likelihood=likelihood
            )
            began = time.perf_counter()
            other.train(epochs, accelerator="cpu", enable_progress_bar=False)
            row.append(f"{1000 * (time.perf_counter() - began) / epochs:.0f}")
            last = other.history["reconstruction_loss_train"].iloc[-1, 0]
            row.append(f"{float(last):.2f}")
        rows.append(row)
    head = ["likelihood", "ms per epoch", "reconstruction"]
    if theirs is not None:
        head += ["smoother-omics, ms per epoch", "its reconstruction"]
    show(f"SpatialVAE, {n} spots, {genes} genes, {epochs} epochs, CPU", head, rows)


def main() -> None:
    warnings.filterwarnings("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    components()
    principal()
    large()
    autoencoder()


if __name__ == "__main__":
    main()
