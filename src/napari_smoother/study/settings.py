"""What a user can set, one small immutable record per stage of the pipeline."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError
from napari_smoother.models.deconv.catalogue import (
    ModelName,
    SectionScale,
    TubeLoss,
    check_scale,
    facts_of,
)
from napari_smoother.models.deconv.composition import Shares
from napari_smoother.models.deconv.preparation import (
    DEFAULT_GENE_WEIGHTS,
    DEFAULT_INTERCEPT,
    DEFAULT_LAMBDA,
    DEFAULT_SCALE,
    GeneWeights,
)
from napari_smoother.weights.precision import Process

NeighbourRule = Literal["nearest", "radius"]

INTRINSIC: tuple[Process, ...] = ("icar", "isar")
"""Processes whose rho ends at 1 on every graph."""


def _require(fulfilled: bool, problem: str, field: str, remedy: str) -> None:
    if not fulfilled:
        raise InputError(problem, where=field, remedy=remedy)


@dataclass(frozen=True, slots=True)
class GraphSettings(ComparedByValue):
    """Which spots are neighbours.

    Parameters
    ----------
    rule
        ``"nearest"``: the k nearest spots; ``"radius"``: every spot within a distance.
    neighbours
        k of the nearest rule.
    mutual
        Keep only pairs in which each is among the other's k nearest.
    radius
        Distance of the radius rule, in micrometres, or in full-resolution pixels where the
        section's scale is unknown. None: one and a half times the median distance to the
        nearest spot.
    by_expression
        Scale each edge by the similarity of expression of its ends.
    expression_components
        Principal components in which expression is compared.
    by_histology
        Scale each edge by the similarity of the tissue image at its ends.
    """

    rule: NeighbourRule = "nearest"
    neighbours: int = 6
    mutual: bool = True
    radius: float | None = None
    by_expression: bool = False
    expression_components: int = 10
    by_histology: bool = False

    def __post_init__(self) -> None:
        _require(
            self.expression_components >= 1,
            f"Expression cannot be compared in {self.expression_components} components",
            "graph expression_components",
            "Set at least 1",
        )
        _require(
            self.rule in get_args(NeighbourRule),
            f"Unknown rule of neighbours {self.rule!r}",
            "graph rule",
            f"Choose one of {', '.join(get_args(NeighbourRule))}",
        )
        _require(
            self.neighbours >= 1,
            f"A spot cannot have {self.neighbours} neighbours",
            "graph neighbours",
            "Set at least 1",
        )
        _require(
            self.radius is None or (math.isfinite(self.radius) and self.radius > 0),
            f"The radius {self.radius} is not a distance",
            "graph radius",
            "Set a number above 0",
        )


@dataclass(frozen=True, slots=True)
class DeconvolutionSettings(ComparedByValue):
    """How cell-type composition is estimated.

    Parameters
    ----------
    model
        How a spot's expression follows from its cells: see `MODELS`.
    tube_loss, nonneg
        Of nu-SVR: its loss, and whether abundances must not be negative.
    process
        The spatial process of the prior.
    rho
        Its autocorrelation, from 0 (none); at most 1 for the intrinsic processes. The graph
        says where the range of the others ends.
    lambda_spatial_loss
        Weight of the spatial loss; 0 leaves every spot to itself.
    scale
        Scale of the data the signature is fitted on, one that the model takes.
    gene_weights
        Weight of each gene in the fit.
    intercept
        Whether each spot has an intercept of its own.
    shares
        What proportions are shares of: cells, where the reference has counted cells, or RNA.
    """

    model: ModelName = "nnls"
    tube_loss: TubeLoss = "l2"
    nonneg: bool = True
    process: Process = "icar"
    rho: float = 0.99
    lambda_spatial_loss: float = DEFAULT_LAMBDA
    scale: SectionScale = DEFAULT_SCALE
    gene_weights: GeneWeights = DEFAULT_GENE_WEIGHTS
    intercept: bool = DEFAULT_INTERCEPT
    shares: Shares = "cells"

    def __post_init__(self) -> None:
        check_scale(self.model, self.scale)
        for field, value, choices in (
            ("process", self.process, get_args(Process)),
            ("gene_weights", self.gene_weights, get_args(GeneWeights)),
            ("tube_loss", self.tube_loss, get_args(TubeLoss)),
            ("shares", self.shares, get_args(Shares)),
        ):
            _require(
                value in choices,
                f"Unknown {field.replace('_', ' ')} {value!r}",
                f"deconvolution {field}",
                f"Choose one of {', '.join(choices)}",
            )
        highest = 1.0 if self.process in INTRINSIC else math.inf
        _require(
            math.isfinite(self.rho) and 0.0 <= self.rho <= highest,
            f"rho {self.rho} is outside the valid range",
            "deconvolution rho",
            "Set a number from 0 to 1" if highest == 1.0 else "Set a number of at least 0",
        )
        _require(
            math.isfinite(self.lambda_spatial_loss) and self.lambda_spatial_loss >= 0,
            f"lambda {self.lambda_spatial_loss} is not a weight",
            "deconvolution lambda",
            "Set a number of at least 0",
        )

    def with_model(self, model: ModelName) -> DeconvolutionSettings:
        """Return the same prior under another model, with that model's own data settings."""
        facts = facts_of(model)
        return replace(
            self,
            model=model,
            scale=facts.scales[0],
            gene_weights=facts.gene_weights,
            intercept=facts.intercept,
        )


@dataclass(frozen=True, slots=True)
class Settings(ComparedByValue):
    """Everything that decides the numbers of a study, apart from data and regions.

    Parameters
    ----------
    graph
        Which spots are neighbours.
    boundary_connectivity
        What an edge between two regions keeps of its weight: 0 cuts it, 1 leaves it.
    deconvolution
        How composition is estimated.
    """

    graph: GraphSettings = GraphSettings()
    boundary_connectivity: float = 0.0
    deconvolution: DeconvolutionSettings = DeconvolutionSettings()

    def __post_init__(self) -> None:
        _require(
            0.0 <= self.boundary_connectivity <= 1.0,
            f"Boundary connectivity {self.boundary_connectivity} is outside the valid range",
            "boundary_connectivity",
            "Set a number from 0 (cut) to 1 (leave)",
        )
