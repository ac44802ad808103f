"""A spatial autoencoder of the open section, trained when it is asked for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_smoother.analyses import autoencoder
from napari_smoother.analyses.embedding_settings import AutoencoderSettings
from napari_smoother.study.embedding import EmbeddingAnalysis

if TYPE_CHECKING:
    from napari_smoother.analyses.autoencoder import Train
    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection

MISSING = (
    "The spatial VAE needs scvi-tools. Install the extra: pip install 'napari-smoother[scvi]'"
)


class Autoencoder(EmbeddingAnalysis[AutoencoderSettings]):
    """`napari_smoother.analyses.autoencoder` on the graph of a study.

    Parameters
    ----------
    study
        Whose section and graph it is about.
    train
        What trains; by default `napari_smoother.analyses.autoencoder.train_spatial_vae`.
    """

    name = autoencoder.MODEL
    field = wanted = "autoencoder"
    work = "training"
    button = "Train"
    domain_column = "domain_vae"

    def __init__(self, study: OpenSection, train: Train | None = None) -> None:
        super().__init__(study)
        self._train = train
        self.steps = autoencoder.AutoencoderSteps()

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
        assert request.graph is not None
        return autoencoder.compute(
            request.section.adata,
            request.graph.weights,
            request.settings,
            self.told(request, context),
            self.steps,
            self._train,
            where=request.section.name,
        )

    def describe_settings(self, settings: AutoencoderSettings) -> str:
        """Return lambda, rho, the number of dims and of epochs."""
        return (
            f"the result for λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}, "
            f"{settings.components} dims, {settings.epochs} epochs"
        )
