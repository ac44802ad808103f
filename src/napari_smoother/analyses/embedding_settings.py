"""What a user can set of an embedding: its data, how it is found, and domains on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from napari_smoother.analyses.expression import GenesBy
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require
from napari_smoother.weights.precision import Process

Likelihood = Literal["nb", "zinb", "poisson", "normal"]


@dataclass(frozen=True, slots=True)
class ExpressionSettings(ComparedByValue):
    """Which values are reduced.

    Parameters
    ----------
    layer
        Layer to take as it is, ``"X"`` for X itself; None for log1p of the counts of X per ten
        thousand of the spot.
    n_genes
        How many genes at most.
    scale
        Whether every gene is brought to unit variance, so that none decides alone.
    genes_by
        Which genes: ``"spatial"``, those of largest Moran's I on the graph, best for domains; or
        ``"variable"``, those of largest variance of Pearson residuals, which vary between spots
        by most beyond counting noise.
    """

    layer: str | None = None
    n_genes: int = 2000
    scale: bool = False
    genes_by: GenesBy = "spatial"

    def __post_init__(self) -> None:
        require(
            self.n_genes >= 1,
            f"{self.n_genes} genes cannot be reduced",
            "reduction n_genes",
            "Set at least 1",
        )
        require(
            self.genes_by in get_args(GenesBy),
            f"Genes cannot be chosen by {self.genes_by!r}",
            "reduction genes_by",
            f"Choose one of {', '.join(get_args(GenesBy))}",
        )


@dataclass(frozen=True, slots=True)
class DomainSettings(ComparedByValue):
    """Whether and how spatial domains are found on an embedding.

    Parameters
    ----------
    find
        Whether they are wanted.
    number
        How many domains to look for; None to choose the number, which takes some seconds.
    coupling
        How much neighbours like to be in one domain: what a label that all neighbours have
        gains in log odds.
    """

    find: bool = False
    number: int | None = None
    coupling: float = 2.0

    def __post_init__(self) -> None:
        require(
            self.number is None or self.number >= 1,
            f"{self.number} domains cannot be found",
            "reduction domains",
            "Set at least 1",
        )
        require(
            math.isfinite(self.coupling) and self.coupling >= 0,
            f"The coupling {self.coupling} is not a strength",
            "reduction coupling",
            "Set a number of at least 0",
        )


@dataclass(frozen=True, slots=True)
class EmbeddingSettings(ComparedByValue):
    """What every embedding has.

    Parameters
    ----------
    data
        Which values are reduced.
    components
        How many numbers are kept of each spot.
    process
        The spatial process of the prior: intrinsic conditional (ICAR) or simultaneous (ISAR)
        autoregression, or another.
    rho
        Autocorrelation of the prior, 0 (none) to 1 (intrinsic).
    lambda_
        Weight of the spatial loss, a penalty on components that vary between neighbours; 0 for
        none.
    seed
        Seed of starts that are drawn.
    domains
        Domains on the embedding.
    """

    data: ExpressionSettings = ExpressionSettings()
    components: int = 30
    process: Process = "icar"
    rho: float = 0.99
    lambda_: float = 0.1
    seed: int = 0
    domains: DomainSettings = DomainSettings()

    def __post_init__(self) -> None:
        require(
            self.components >= 1,
            f"There cannot be {self.components} components",
            "reduction components",
            "Set at least 1",
        )
        require(
            0.0 <= self.rho <= 1.0,
            f"rho {self.rho} is outside the valid range",
            "reduction rho",
            "Set a number from 0 to 1",
        )
        require(
            math.isfinite(self.lambda_) and self.lambda_ >= 0,
            f"lambda {self.lambda_} is not a weight",
            "reduction lambda",
            "Set a number of at least 0",
        )


@dataclass(frozen=True, slots=True)
class ReductionSettings(EmbeddingSettings):
    """How spatial principal components are found.

    Parameters
    ----------
    lambda_
        Weight of the penalty on components that vary between neighbours; 0 for principal
        components, whose noise can be told from their signal. Under a penalty it looks like
        signal.
    smoothing
        Lambda of the posterior mean of the scores, which takes the noise off them; 0 leaves
        every spot to itself, None chooses it for domains, by spots that are left out.
    """

    lambda_: float = 0.0
    smoothing: float | None = None

    def __post_init__(self) -> None:
        EmbeddingSettings.__post_init__(self)
        require(
            self.smoothing is None or (math.isfinite(self.smoothing) and self.smoothing >= 0),
            f"The smoothing {self.smoothing} is not a weight",
            "reduction smoothing",
            "Set a number of at least 0",
        )


@dataclass(frozen=True, slots=True)
class AutoencoderSettings(EmbeddingSettings):
    """How a spatial autoencoder is trained.

    Parameters
    ----------
    likelihood
        Distribution of the counts of a gene in a spot; ``"normal"`` takes the data as `data`
        says instead.
    epochs
        Most steps of training; each sees all spots.
    learning_rate
        Length of a step of Adam.
    """

    likelihood: Likelihood = "nb"
    epochs: int = 200
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        EmbeddingSettings.__post_init__(self)
        require(
            self.likelihood in get_args(Likelihood),
            f"Unknown likelihood {self.likelihood!r}",
            "autoencoder likelihood",
            f"Choose one of {', '.join(get_args(Likelihood))}",
        )
        require(
            self.epochs >= 1,
            f"Nothing can be trained in {self.epochs} epochs",
            "autoencoder epochs",
            "Set at least 1",
        )
        require(
            math.isfinite(self.learning_rate) and self.learning_rate > 0,
            f"The learning rate {self.learning_rate} is not a step",
            "autoencoder learning_rate",
            "Set a number above 0",
        )
