"""What a user can set of the deconvolution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require
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

INTRINSIC: tuple[Process, ...] = ("icar", "isar")
"""Processes whose rho ends at 1 on every graph."""


@dataclass(frozen=True, slots=True)
class DeconvolutionSettings(ComparedByValue):
    """How cell-type composition is estimated.

    Parameters
    ----------
    model
        How a spot's expression follows from its cells: see `MODELS`.
    tube_loss
        Of nu-SVR: what differences outside the tube cost: their square, or their size, which is
        more robust and takes longer.
    nonneg
        Of nu-SVR: whether abundances are kept from going below zero.
    process
        The spatial process of the prior.
    rho
        Autocorrelation of the prior, from 0 (none); at most 1 for the intrinsic processes. The
        graph says where the range of the others ends.
    lambda_
        Weight of the spatial loss; 0 leaves every spot to itself.
    scale
        Scale of the data the signature is fitted on, one that the model takes.
    gene_weights
        How much each gene counts in the fit. By noise: counting, the spread of cells within
        their type, and what the section adds, with a signature adjusted to the section; a
        signature table has no cells, and log1p does not take it: there genes count by their
        inverse mean.
    intercept
        Whether each spot has an intercept of its own.
    shares
        What proportions are shares of. Cells: RNA divided by the mean total of a cell of each
        type, which the cells of the reference tell. RNA: a type with large cells has more of
        it. A signature table has no cells, so its shares are always of RNA.
    deviation
        Whether the posterior standard deviation of the proportions is found too.
    """

    model: ModelName = "nnls"
    tube_loss: TubeLoss = "l2"
    nonneg: bool = True
    process: Process = "icar"
    rho: float = 0.99
    lambda_: float = DEFAULT_LAMBDA
    scale: SectionScale = DEFAULT_SCALE
    gene_weights: GeneWeights = DEFAULT_GENE_WEIGHTS
    intercept: bool = DEFAULT_INTERCEPT
    shares: Shares = "cells"
    deviation: bool = False

    def __post_init__(self) -> None:
        check_scale(self.model, self.scale)
        for field, value, choices in (
            ("process", self.process, get_args(Process)),
            ("gene_weights", self.gene_weights, get_args(GeneWeights)),
            ("tube_loss", self.tube_loss, get_args(TubeLoss)),
            ("shares", self.shares, get_args(Shares)),
        ):
            require(
                value in choices,
                f"Unknown {field.replace('_', ' ')} {value!r}",
                f"deconvolution {field}",
                f"Choose one of {', '.join(choices)}",
            )
        highest = 1.0 if self.process in INTRINSIC else math.inf
        require(
            math.isfinite(self.rho) and 0.0 <= self.rho <= highest,
            f"rho {self.rho} is outside the valid range",
            "deconvolution rho",
            "Set a number from 0 to 1" if highest == 1.0 else "Set a number of at least 0",
        )
        require(
            math.isfinite(self.lambda_) and self.lambda_ >= 0,
            f"lambda {self.lambda_} is not a weight",
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
