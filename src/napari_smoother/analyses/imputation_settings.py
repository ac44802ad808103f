"""What a user can set of the imputation of a gene."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require
from napari_smoother.weights.precision import Process

MOST_HELD_OUT = 0.9


@dataclass(frozen=True, slots=True)
class ImputationSettings(ComparedByValue):
    """How one gene is smoothed and filled in.

    Parameters
    ----------
    gene
        Its name; values are log1p of counts per ten thousand of the spot.
    fixed
        Whether observed values stay as they are and only missing ones are filled in, those of
        hidden spots and of spots without counts.
    nonneg
        Whether values are kept from falling below zero, as counts cannot.
    process
        The spatial process of the prior: intrinsic conditional (ICAR) or simultaneous (ISAR)
        autoregression, or another.
    rho
        Autocorrelation of the prior, 0 (none) to 1 (intrinsic), at which values between observed
        spots do not fade to zero.
    lambda_
        Weight of the spatial loss, where observed values are not fixed; 0 leaves observed spots
        as they are.
    hidden_column, hidden_class
        Spots of this class of an obs column are hidden; ``""`` hides none.
    held_out
        Share of the other spots that is hidden at random.
    seed
        Seed of that draw: another one hides other spots, the same one the same spots.
    denser
        Whether values are also interpolated on a grid denser than the spots, where every new
        position is the mean of its neighbours.
    factor
        How many times closer the positions of that grid are than spots.
    """

    gene: str = ""
    fixed: bool = False
    nonneg: bool = True
    process: Process = "icar"
    rho: float = 1.0
    lambda_: float = 1.0
    hidden_column: str = ""
    hidden_class: str = ""
    held_out: float = 0.0
    seed: int = 0
    denser: bool = False
    factor: float = 3.0

    def __post_init__(self) -> None:
        for fulfilled, problem, field, remedy in (
            (
                0.0 <= self.rho <= 1.0,
                f"rho {self.rho} is outside the valid range",
                "rho",
                "Set a number from 0 to 1",
            ),
            (
                math.isfinite(self.lambda_) and self.lambda_ >= 0,
                f"lambda {self.lambda_} is not a weight",
                "lambda",
                "Set a number of at least 0",
            ),
            (
                0.0 <= self.held_out <= MOST_HELD_OUT,
                f"A share of {self.held_out} cannot be held out",
                "held_out",
                f"Set a number from 0 to {MOST_HELD_OUT}",
            ),
            (
                math.isfinite(self.factor) and self.factor >= 1,
                f"A grid cannot be {self.factor} times denser",
                "factor",
                "Set a number of at least 1",
            ),
        ):
            require(fulfilled, problem, f"imputation {field}", remedy)
