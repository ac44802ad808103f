"""A spatial autoencoder of the open section, trained when it is asked for."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Progress
from napari_smoother.analyses.domains import domain_report, expanded
from napari_smoother.analyses.embedding_settings import AutoencoderSettings, DomainSettings
from napari_smoother.analyses.expression import counts, expression
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.models.reduction.choice_of_smoothing import ChosenSmoothing
from napari_smoother.study.embedding import Embedding, EmbeddingAnalysis

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.domain_steps import FoundDomains
    from napari_smoother.analyses.expression import ChosenGenes
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection

    Train = Callable[
        [
            Any,
            csr_array,
            AutoencoderSettings,
            Callable[[int, float], None],
            Callable[[], bool],
        ],
        "Trained",
    ]

KIND = "latent dim"
MISSING = (
    "The spatial VAE needs scvi-tools. Install the extra: pip install 'napari-smoother[scvi]'"
)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a training leaves.

    Parameters
    ----------
    latent
        Spots x dims: posterior means.
    losses
        Of every epoch.
    seconds
        Wall time.
    """

    latent: NDArray[np.floating]
    losses: tuple[float, ...]
    seconds: float


class Autoencoder(EmbeddingAnalysis[AutoencoderSettings]):
    """`napari_smoother.models.reduction.SpatialVAE` on the graph of a study.

    Parameters
    ----------
    study
        Whose section and graph it is about.
    train
        What trains; by default `train_spatial_vae`.
    """

    name = "spatial_vae"
    field = "autoencoder"
    work = "training"
    button = "Train"
    domain_column = "domain_vae"

    def __init__(self, study: OpenSection, train: Train | None = None) -> None:
        super().__init__(study)
        self._train = train
        self.values = Stage(_values)
        self.trained = Stage(self._trained)

    @property
    def follows(self) -> bool:  # type: ignore[override]
        """Whether the result follows: domains do, the training is asked for by hand."""
        return self.lacks_domains_only

    @property
    def missing(self) -> str:
        """What has to be installed first; empty when nothing has."""
        return "" if self._train is not None or find_spec("scvi") is not None else MISSING

    def compute(
        self, request: Request[AutoencoderSettings, Embedding], context: Context
    ) -> Embedding:
        """Train, and find domains on the latent means."""
        section, settings = request.section, request.settings
        data = settings.data
        assert request.graph is not None
        weights = request.graph.weights
        chosen = self.steps.chosen(section.adata, section.name, weights, data)
        self.look_up()
        as_counts = settings.likelihood != "normal"
        values = self.values(
            section.adata, section.name, data.layer, data.scale, chosen, as_counts
        )
        self.look_up()
        # Domains do not matter to the training.
        training = replace(settings, domains=DomainSettings())
        linked = self.steps.linked(weights, chosen.spots)
        trained = self.trained(values, linked, training)
        scores = expanded(trained.latent, chosen.spots, section.n_spots)
        spread = np.nanvar(scores, axis=0)
        embedding = Embedding(
            section=section,
            kind=KIND,
            scores=scores,
            shares=spread / max(float(spread.sum()), 1e-300),
            chosen=chosen,
            report={
                "n_spots": len(chosen.spots),
                "n_genes": len(chosen.genes),
                "epochs": len(trained.losses),
                "loss": trained.losses[-1],
                "seconds": trained.seconds,
            },
            seconds=trained.seconds,
            losses=trained.losses,
        )

        def domains() -> tuple[FoundDomains, dict[str, Any]]:
            # The latent means are smooth already.
            latent = np.asarray(trained.latent, dtype=np.float64)
            found = self.steps.find(latent, linked, None, 0.0, settings.domains, settings.seed)
            return found, domain_report(found, ChosenSmoothing(0.0, (), ()))

        return self.with_domains(request, embedding, domains)

    def describe(self, result: Embedding) -> str:
        """Return epochs, loss, time and number of domains."""
        parts = [
            f"trained · {len(result.losses)} epochs",
            f"loss {result.losses[-1]:.5g}",
            f"{result.seconds:.1f} s",
        ]
        if result.domains is not None:
            parts.append(f"{len(np.unique(result.domains[result.domains >= 0]))} domains")
        return " · ".join(parts)

    def describe_settings(self, settings: AutoencoderSettings) -> str:
        """Return lambda, rho, the number of dims and of epochs."""
        return (
            f"the result for λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}, "
            f"{settings.components} dims, {settings.epochs} epochs"
        )

    def recipe(self, settings: AutoencoderSettings, result: Embedding) -> dict[str, Any]:
        """Return settings, report and the loss of every epoch."""
        return {
            "settings": asdict(settings),
            "report": {**result.report, "losses": list(result.losses)},
        }

    def _trained(self, values: Any, weights: csr_array, settings: AutoencoderSettings) -> Trained:
        def tell(epoch: int, loss: float) -> None:
            text = f"training · epoch {epoch} of {settings.epochs} · loss {loss:.5g}"
            self.tell(Progress(text, epoch, settings.epochs, loss))

        self.tell(Progress("training", 0, settings.epochs))
        train = self._train or train_spatial_vae
        return train(values, weights, settings, tell, self.is_cancelled)


def train_spatial_vae(
    values: Any,
    weights: csr_array,
    settings: AutoencoderSettings,
    on_epoch: Callable[[int, float], None],
    cancelled: Callable[[], bool],
) -> Trained:
    """Train a `SpatialVAE`.

    Parameters
    ----------
    values
        Used spots x used genes: counts, or expression for the normal likelihood.
    weights
        The graph of these spots.
    settings
        Of network and training.
    on_epoch
        Called after every epoch with the number of epochs so far and the loss.
    cancelled
        Asked before every layer.

    Raises
    ------
    InputError
        If scvi-tools is missing, or the loss is no longer finite.
    Cancelled
        If ``cancelled`` returned True.
    """
    import anndata as ad

    from napari_smoother.losses.spatial import SpatialLoss
    from napari_smoother.weights.matrix import SpatialWeightMatrix

    try:
        from napari_smoother.models.reduction.spatial_vae import SpatialVAE
    except ImportError as error:
        raise InputError(
            f"The spatial VAE cannot be trained: {error}",
            where="autoencoder",
            remedy="Install the extra: pip install 'napari-smoother[scvi]'",
        ) from error

    began = time.perf_counter()
    adata = ad.AnnData(values)
    SpatialVAE.setup_anndata(adata)
    loss = None
    if settings.lambda_ > 0:
        matrix = SpatialWeightMatrix.from_graph(weights)
        loss = SpatialLoss(settings.process, matrix, rho=settings.rho)
    model = SpatialVAE(
        adata,
        spatial_loss=loss,
        lambda_spatial_loss=settings.lambda_,
        n_latent=settings.components,
        gene_likelihood=settings.likelihood,
        seed=settings.seed,
    )
    model.train(
        max_epochs=settings.epochs,
        lr=settings.learning_rate,
        seed=settings.seed,
        on_epoch=on_epoch,
        cancelled=cancelled,
    )
    latent = np.asarray(model.get_latent_representation(), dtype=np.float64)
    losses = tuple(map(float, model.dr_logs["total_loss"]))
    return Trained(latent, losses, time.perf_counter() - began)


def _values(
    adata: AnnData,
    where: str,
    layer: str | None,
    scale: bool,
    chosen: ChosenGenes,
    as_counts: bool,
) -> Any:
    if as_counts:
        return counts(adata, where, layer, chosen)
    return expression(adata, where, layer, scale, chosen)
