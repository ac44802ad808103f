"""A spatial autoencoder of a section, trained, and domains on its latent means."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.context import Context, Progress
from napari_smoother.analyses.domain_steps import DomainSteps
from napari_smoother.analyses.domains import domain_report, expanded, spatial_domains
from napari_smoother.analyses.embedding import Embedding
from napari_smoother.analyses.embedding_settings import DomainSettings
from napari_smoother.analyses.expression import counts, expression
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.models.reduction.choice_of_smoothing import ChosenSmoothing
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.embedding_settings import AutoencoderSettings
    from napari_smoother.analyses.expression import ChosenGenes

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

MODEL = "spatial_vae"
KIND = "latent dim"


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


class AutoencoderSteps(DomainSteps):
    """The steps from counts to domains on latent means, each remembered.

    Attributes
    ----------
    values, trained
        What it is trained on, and the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values = Stage(_values)
        self.trained = Stage(_trained)


def compute(
    adata: AnnData,
    weights: csr_array,
    settings: AutoencoderSettings,
    context: Context = Context(),
    steps: AutoencoderSteps | None = None,
    train: Train | None = None,
    *,
    where: str = "section",
) -> Embedding:
    """Train a `SpatialVAE` on a section, and find domains on it if they are wanted.

    Parameters
    ----------
    adata
        Spots x genes; not changed.
    weights
        Their graph, n x n.
    settings
        How.
    context
        Who asks. Told about every epoch, and about an embedding that lacks its domains yet.
    steps
        That remember what they found before.
    train
        What trains; by default `train_spatial_vae`.
    where
        What the section is called in errors.

    Returns
    -------
    Embedding

    Raises
    ------
    InputError
        If data or settings cannot be used, or scvi-tools is missing.
    Cancelled
        If the context said so.
    """
    steps = AutoencoderSteps() if steps is None else steps
    with steps.lock:
        data = settings.data
        chosen = steps.chosen(adata, where, weights, data, context)
        context.look_up()
        as_counts = settings.likelihood != "normal"
        values = steps.values(adata, where, data.layer, data.scale, chosen, as_counts)
        context.look_up()
        # Domains do not matter to the training.
        training = replace(settings, domains=DomainSettings())
        linked = steps.linked(weights, chosen.spots)
        trained = steps.trained(values, linked, training, train or train_spatial_vae, context)
        scores = expanded(trained.latent, chosen.spots, int(adata.n_obs))
        spread = np.nanvar(scores, axis=0)
        result = Embedding(
            settings=settings,
            model=MODEL,
            kind=KIND,
            spots=adata.obs_names,
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
        if not settings.domains.find:
            return result
        if context.tell is not None:
            context.tell(result)
        began = time.perf_counter()
        # The latent means are smooth already.
        strength = ChosenSmoothing(0.0, (), ())
        latent = np.asarray(trained.latent, dtype=np.float64)
        # Threads round otherwise than one: the same latent means are to end in the same bits.
        with one_blas_thread():
            found = steps.find(latent, linked, None, 0.0, settings.domains, settings.seed, context)
        seconds = time.perf_counter() - began
        n_spots = int(adata.n_obs)
        return replace(
            result,
            domains=spatial_domains(found, settings, chosen, strength, n_spots, seconds),
            report={**result.report, **domain_report(found, strength)},
        )


def _trained(
    values: Any, weights: csr_array, settings: AutoencoderSettings, train: Train, context: Context
) -> Trained:
    def tell(epoch: int, loss: float) -> None:
        if context.tell is not None:
            text = f"training · epoch {epoch} of {settings.epochs} · loss {loss:.5g}"
            context.tell(Progress(text, epoch, settings.epochs, loss))

    context.say("training", 0, settings.epochs)
    return train(values, weights, settings, tell, context.cancelled or _never)


def _never() -> bool:
    return False


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
