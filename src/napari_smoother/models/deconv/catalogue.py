"""The models that a section can be deconvolved with, and what each wants of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from napari_smoother.counts.origin import CountsOrigin
    from napari_smoother.models.deconv.estimator import DeconvolutionModel
    from napari_smoother.models.deconv.expression import DataScale, GeneWeights

ModelName = Literal["linear_regression", "nnls", "dwls", "nusvr", "lognormreg", "poisson"]
"""Also the key in ``obsm`` that proportions are written to."""

SectionScale = Literal["counts", "log1p", "raw"]
"""Of counts: brought to one total, the log1p of that, or as they were counted."""

TubeLoss = Literal["l2", "l1"]
"""Loss of nu-SVR outside its tube."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What there is to know of a model before it is fitted.

    Parameters
    ----------
    title, short
        Its name, in full and as it fits on a line.
    scales
        Scales of the data it can be fitted on, its own first.
    gene_weights, intercept
        Its own settings.
    accuracy
        What it is good for, with its mean error on sections of known composition.
    least_squares
        Whether all spots have one Gram matrix. Then the genes are summed over once, a solve is
        quick however many there are, and held-out genes and the posterior deviation are at hand.
    convex
        Whether a point where the gradient vanishes is the optimum.
    chooses_bound
        Whether abundances may be allowed to be negative, or not, as one likes.
    """

    title: str
    short: str
    scales: tuple[SectionScale, ...]
    gene_weights: GeneWeights
    intercept: bool
    accuracy: str
    least_squares: bool = False
    convex: bool = True
    chooses_bound: bool = False


# benchmarks/model_defaults.py prints the errors these choices rest on, and docs/accuracy.md, by
# benchmarks/accuracy.py, has the figures of every model with its own settings.
MODELS: dict[ModelName, ModelFacts] = {
    "nnls": ModelFacts(
        "Non-negative least squares",
        "NNLS",
        ("counts", "log1p"),
        "within_type",
        True,
        "The most accurate: mean error 0.071 on 26 sections of known composition, the lowest of "
        "all models on 15",
        least_squares=True,
    ),
    "linear_regression": ModelFacts(
        "Linear regression",
        "linear regression",
        ("counts", "log1p"),
        "within_type",
        True,
        "Mean error 0.080 on 26 sections of known composition; close to NNLS where genes are "
        "many, far off where they are few",
        least_squares=True,
    ),
    "dwls": ModelFacts(
        "Dampened weighted least squares",
        "DWLS",
        ("counts", "log1p"),
        "within_type",
        True,
        "Mean error 0.076 on 26 sections of known composition, 6 % above NNLS: closest where "
        "the reference has many cells",
    ),
    "nusvr": ModelFacts(
        "ν support vector regression",
        "ν-SVR",
        # One width for all genes: on counts the tube closes, or holds everything.
        ("log1p",),
        "none",
        True,
        "The least accurate: mean error 0.117 on 26 sections of known composition, 1.7 times that "
        "of NNLS",
        chooses_bound=True,
    ),
    "lognormreg": ModelFacts(
        "Log-normal regression",
        "log-normal",
        ("raw",),
        "none",
        True,
        "Mean error 0.084 on 26 sections of known composition, 18 % above NNLS: worst where "
        "the reference has few cells",
        convex=False,
    ),
    "poisson": ModelFacts(
        "Poisson regression",
        "Poisson",
        ("raw",),
        "within_type",
        False,
        "Mean error 0.074 on 26 sections of known composition, 3 % above NNLS: the lowest on 8, "
        "most of them simulated or of few genes",
    ),
}


def facts_of(model: str) -> ModelFacts:
    """Return what there is to know of a model.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for name, facts in MODELS.items():
        if name == model:
            return facts
    raise InputError(
        f"There is no model {model!r}",
        where="deconvolution",
        remedy=f"Choose one of {', '.join(MODELS)}",
    )


def check_scale(model: str, scale: str) -> None:
    """Refuse a scale of the data that a model cannot be fitted on.

    Raises
    ------
    InputError
        With the scales that it takes.
    """
    facts = facts_of(model)
    if scale not in facts.scales:
        raise InputError(
            f"{facts.title} is not fitted on the scale {scale!r}",
            where="deconvolution scale",
            remedy=f"Choose {' or '.join(facts.scales)}",
        )


def check_counted(model: str, origin: CountsOrigin) -> None:
    """Refuse values that are not counts for a model of counts.

    Raises
    ------
    InputError
        With what to do.
    """
    if origin.kind == "normalised":
        raise InputError(
            f"{facts_of(model).title} is a model of counts, and there are none: {origin.place} "
            "holds normalised values",
            where="counts of the section",
            remedy='Store the raw counts in X, in layers["counts"] or in raw, or choose a model '
            "of least squares",
        )


def data_scale(scale: SectionScale) -> DataScale:
    """Return a scale that is not raw as what it is."""
    if scale == "raw":
        raise InputError(
            "Least squares is not fitted on raw counts",
            where="deconvolution scale",
            remedy="Choose counts or log1p",
        )
    return scale


def make_model(
    model: ModelName, *, intercept: bool, tube_loss: TubeLoss = "l2", nonneg: bool = True
) -> DeconvolutionModel:
    """Return a model with settings, not fitted.

    Parameters
    ----------
    model
        Its name.
    intercept
        Whether every spot has a free constant.
    tube_loss, nonneg
        Of nu-SVR: its loss, and whether abundances must not be negative.
    """
    from napari_smoother.models.deconv.dwls import DWLS
    from napari_smoother.models.deconv.linear_regression import LinearRegression
    from napari_smoother.models.deconv.log_normal import LogNormReg
    from napari_smoother.models.deconv.nnls import NNLS
    from napari_smoother.models.deconv.nusvr import NuSVR
    from napari_smoother.models.deconv.poisson import PoissonRegression

    facts_of(model)
    if model == "nusvr":
        return NuSVR(bias=intercept, nonneg=nonneg, loss_mode=tube_loss)
    kinds: dict[str, type[DeconvolutionModel]] = {
        "linear_regression": LinearRegression,
        "nnls": NNLS,
        "dwls": DWLS,
        "lognormreg": LogNormReg,
        "poisson": PoissonRegression,
    }
    return kinds[model](bias=intercept)
