"""Principal components that are penalised for varying between neighbouring spots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.shared_prior import expression_of, shared_prior
from napari_smoother.models.training_settings import ignore_training
from napari_smoother.solvers.spatial_eigen import leading_eigenvectors
from napari_smoother.solvers.spatial_scatter import SpatialScatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

TOLERANCE = 3e-6


@dataclass(frozen=True, slots=True)
class ReductionReport:
    """How well a set of components was solved.

    Attributes
    ----------
    objective
        Value of the loss: `variance` taken off, `roughness` added.
    variance
        Mean square of the scores, the part of the loss that is maximised.
    roughness
        Lambda times the spatial loss of the scores, per spot and component.
    residual
        Relative residual of the eigenvectors, from float64 products.
    positive
        How many components raise the objective; those beyond it lower it, because they vary
        between neighbours by more than lambda lets them.
    products
        Columns multiplied with the matrix; 0 where it was decomposed whole.
    seconds
        Wall time.
    converged
        Whether `residual` is at or below the tolerance.
    method
        ``"eigendecomposition"`` or ``"block Lanczos"``.
    """

    objective: float
    variance: float
    roughness: float
    residual: float
    positive: int
    products: int
    seconds: float
    converged: bool
    method: str

    def as_dict(self) -> dict[str, float | int | bool | str]:
        """All fields as plain Python values."""
        return asdict(self)


class SpatialPCA:
    r"""Spatial principal components, solved exactly as an eigenproblem.

    .. math::
        \min_{U'U = I} \frac{1}{kn}\left(-\|XU\|^2
        + \lambda s\,\mathrm{tr}(U'X'QXU)\right)

    for centred X (spots x genes), k components and n spots; Q and the confidence s come from the
    spatial loss. Both terms have the same factor 1 / kn, so lambda means what it means in
    ``smoother-omics`` (Su et al. 2023, Genome Biology 24:291). The scores XU are a projection:
    genes are chosen so that they vary smoothly, a single spot is not denoised. For that, see
    `smooth_embedding`.

    Parameters
    ----------
    adata
        Spots (or cells) x genes, dense, sparse or backed. Sparse stays sparse.
    layer
        Layer to reduce, ``X`` if None; usually scaled log counts.
    n_latent
        Number of components k.
    spatial_loss
        A `SpatialLoss` with one graph for all components; None for plain principal components.
    lambda_spatial_loss
        Strength of the spatial loss, zero or more.
    center
        Take off the mean of every gene.

    Attributes
    ----------
    n_latent, n_feature
        Numbers of components and genes.
    report : ReductionReport or None
        Of the last `reduce`.
    """

    def __init__(
        self,
        adata: AnnData,
        layer: str | None = None,
        n_latent: int = 10,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 0.1,
        *,
        center: bool = True,
    ) -> None:
        self.n_feature = int(adata.shape[1])
        if not 1 <= n_latent <= self.n_feature:
            raise InputError(
                f"{n_latent} components are asked for, and there are {self.n_feature} genes",
                where="SpatialPCA",
                remedy=f"Choose n_latent from 1 to {self.n_feature}",
            )
        self.n_latent = int(n_latent)
        self.center = bool(center)
        self.spatial_loss = spatial_loss
        self.lambda_spatial_loss = float(lambda_spatial_loss)
        self.report: ReductionReport | None = None
        self._loadings: NDArray[np.float64] | None = None
        self._genes = adata.var_names
        self.load_adata(adata, layer)

    def load_adata(self, adata: AnnData, layer: str | None = None) -> None:
        """Take other data with the same genes; loadings found before are kept.

        Parameters
        ----------
        adata
            Spots x genes.
        layer
            Layer to use, ``X`` if None.

        Raises
        ------
        InputError
            If the genes are not the same in the same order, or a value is not finite.
        """
        if adata.shape[1] != self.n_feature or not self._genes.equals(adata.var_names):
            raise InputError(
                "The data have other genes than those of the model",
                where="SpatialPCA",
                remedy="Select the same genes in the same order, as adata[:, other.var_names]",
            )
        expression = expression_of(adata, layer, where="SpatialPCA")
        precision, self._confidence = None, 1.0
        if self.spatial_loss is not None:
            precision, self._confidence = shared_prior(self.spatial_loss, int(adata.shape[0]))
        self._scatter = SpatialScatter(expression, precision, centre=self.center)

    def prepare(self, *, cancelled: Callable[[], bool] | None = None) -> None:
        """Form X'X and X'QX, so that `reduce` costs the same for any number of spots.

        Worth it before moving `lambda_spatial_loss` or `n_latent` with up to a few thousand
        genes: both may be set and `reduce` called again.

        Parameters
        ----------
        cancelled
            Asked between blocks of genes.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
        """

        def asked() -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("forming the matrices was cancelled")

        self._scatter.matrices(asked)

    def reduce(
        self,
        *,
        tolerance: float = TOLERANCE,
        seed: int = 0,
        cancelled: Callable[[], bool] | None = None,
        **training: Any,
    ) -> None:
        """Find the components.

        Parameters
        ----------
        tolerance
            Relative residual of the eigenvectors to stop at.
        seed
            Of the vectors the search starts from.
        cancelled
            Asked between products.
        **training
            ``lr``, ``max_epochs``, ``patience``, ``tol``, ``init_with_svd``, ``verbose``,
            ``quite`` and ``clear_logs`` of scripts written for gradient descent: ignored, as
            nothing is trained.

        Raises
        ------
        InputError
            If lambda is negative.
        Cancelled
            If ``cancelled`` returned True; what was there before is kept.
        TypeError
            If another argument is given.

        Warns
        -----
        UserWarning
            If arguments of gradient descent are given; they are named.
        """
        ignore_training(training, "reduce")
        weight = 0.0 if self.spatial_loss is None else self.lambda_spatial_loss * self._confidence
        found = leading_eigenvectors(
            self._scatter,
            weight,
            self.n_latent,
            start=self._loadings,
            tolerance=tolerance,
            seed=seed,
            cancelled=cancelled,
        )
        cells = self.n_latent * self._scatter.n_spots
        variance = found.spread / cells
        objective = -float(found.values.sum()) / cells
        rounding = 1e-10 * float(np.abs(found.values).max())
        self._loadings = found.vectors
        self.report = ReductionReport(
            objective=objective,
            variance=variance,
            roughness=objective + variance if weight else 0.0,
            residual=found.residual,
            positive=int((found.values > rounding).sum()),
            products=found.products,
            seconds=found.seconds,
            converged=found.converged,
            method=found.method,
        )

    @property
    def U(self) -> NDArray[np.float64]:
        """Loadings, genes x n_latent: orthonormal, the first component first."""
        if self._loadings is None:
            raise InputError(
                "There are no components yet", where="SpatialPCA", remedy="Call reduce() first"
            )
        return self._loadings

    @property
    def mean(self) -> NDArray[np.float64]:
        """What was taken off every gene; zeros without centring."""
        return self._scatter.mean

    @property
    def dr_logs(self) -> dict[str, Any]:
        """The last `reduce` in the form of a training log with one entry."""
        if self.report is None:
            return {"elapsed_time": None, "total_loss": [], "recon_loss": [], "spatial_loss": []}
        return {
            "elapsed_time": self.report.seconds,
            "total_loss": [self.report.objective],
            "recon_loss": [-self.report.variance],
            "spatial_loss": [self.report.roughness],
        }

    def get_latent_representation(self) -> NDArray[np.float64]:
        """Scores of the loaded data, spots x n_latent, float64."""
        return np.asarray(self._scatter.project(self.U))

    @classmethod
    def from_rna_model(
        cls,
        rna_model: SpatialPCA,
        st_adata: AnnData,
        layer: str | None = None,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 0.1,
        *,
        center: bool = True,
    ) -> Self:
        """Make a model of a section that starts from the components of dissociated cells.

        Until `reduce` is called, the scores are the projection on the loadings of `rna_model`,
        if it had been reduced. `reduce` finds the optimum for the section, which does not depend
        on where it starts.

        Parameters
        ----------
        rna_model
            A `SpatialPCA` of data with the same genes in the same order.
        st_adata
            Spots x genes.
        layer
            Layer to reduce, ``X`` if None.
        spatial_loss, lambda_spatial_loss, center
            As for the constructor.
        """
        made = cls(
            st_adata, layer, rna_model.n_latent, spatial_loss, lambda_spatial_loss, center=center
        )
        if not rna_model._genes.equals(st_adata.var_names):
            raise InputError(
                "The section has other genes than the RNA model",
                where="SpatialPCA.from_rna_model",
                remedy="Select the same genes in the same order",
            )
        if rna_model._loadings is not None:
            made._loadings = rna_model._loadings.copy()
        return made

    @classmethod
    def from_scanpy(
        cls,
        adata: AnnData,
        layer: str | None = None,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 0.1,
        *,
        center: bool = True,
    ) -> Self:
        """Make a model that starts from ``varm["PCs"]``, as ``scanpy.tl.pca`` writes it.

        Parameters
        ----------
        adata
            Spots x genes with ``varm["PCs"]``.
        layer
            Layer to reduce, ``X`` if None.
        spatial_loss, lambda_spatial_loss, center
            As for the constructor.

        Raises
        ------
        InputError
            If there are no loadings.
        """
        if "PCs" not in adata.varm:
            raise InputError(
                "There are no principal components",
                where='varm["PCs"]',
                remedy="Run scanpy.tl.pca(adata) first",
            )
        loadings = np.asarray(adata.varm["PCs"], dtype=np.float64)
        made = cls(
            adata, layer, loadings.shape[1], spatial_loss, lambda_spatial_loss, center=center
        )
        made._loadings = loadings
        return made
