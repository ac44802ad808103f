"""What an imputation found, and how well it was solved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ImputationReport:
    """How well an imputation was solved.

    Attributes
    ----------
    objective
        Mean square deviation from the observations plus lambda times the spatial loss, over
        the spots that were reached.
    residual
        Relative residual of the linear systems, or of the bounded problem where it was needed.
    n_unreached
        Spots in pieces of the graph without any observation; their values are NaN.
    n_bounded
        Features for which the bound at zero was in force.
    seconds
        Wall time.
    converged
        Whether `residual` is at or below the tolerance.
    method
        What did the work.
    """

    objective: float
    residual: float
    n_unreached: int
    n_bounded: int
    seconds: float
    converged: bool
    method: str

    def as_dict(self) -> dict[str, float | int | bool | str]:
        """All fields as plain Python values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Imputation:
    """Values of all spots.

    Attributes
    ----------
    values
        n x features, float64; NaN where no observation can reach.
    unreached
        n booleans.
    report
        See `ImputationReport`.
    """

    values: NDArray[np.float64]
    unreached: NDArray[np.bool_]
    report: ImputationReport
