"""What errors at held-out genes say of rho and lambda, and what to be wary of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.weights.precision import Process

SHORT_OF_LIMIT = 0.999

LITTLE_GAINED = 0.1
"""Share of the held-out error: what gains less is weighed against what it does to the map."""

MUCH_SMOOTHED = 0.25
"""Share of the variance over spots, of all types together, of which no less should be left."""

FLATTENED = 0.1
"""The same for a single type, if it is one that the map showed."""

SHOWN_ON_THE_MAP = 0.05
"""Share of the variance over spots that a type has to have for the map to show it."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Errors at held-out genes over a grid of settings, and what they say.

    Parameters
    ----------
    process
        Spatial process.
    rhos, lambdas
        The grid, ascending: R and L values.
    errors
        R x L x folds: mean weighted squared error at the genes held out.
    mean
        R x L: mean over the folds.
    standard_error
        R x L: standard error over the folds of the difference from the best setting (zero
        there). Folds hold different genes, whose noise is common to all settings and drops out.
    rho, lambda_
        The recommended setting: the lowest mean. Of the two it came closer to the truth where
        that is known (`docs/choice.md`).
    cautious_lambda
        The smallest lambda, at this rho, within one standard error of the lowest mean.
    edges
        Where the best lies on an edge of the grid beyond which there are other settings:
        any of ``"lowest lambda"``, ``"highest lambda"``, ``"lowest rho"``, ``"highest rho"``.
        A grid of one value has no edge, and neither has rho where the best lambda is 0.
    types
        Names of the K cell types; empty where errors were judged without fits.
    variances
        2 x K: variance over spots of the proportion of every type, with the smallest lambda of
        the grid and with the recommended one, both at the recommended rho and from all genes.
    """

    process: Process
    rhos: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    errors: NDArray[np.float64]
    mean: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    rho: float
    lambda_: float
    cautious_lambda: float
    edges: tuple[str, ...]
    types: tuple[str, ...] = ()
    variances: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0)))

    @property
    def on_edge(self) -> bool:
        """Whether a wider grid might hold a better setting."""
        return bool(self.edges)

    @property
    def row(self) -> int:
        """Where the recommended rho stands among `rhos`."""
        return int(np.argmin(np.abs(self.rhos - self.rho)))

    @property
    def gain(self) -> float:
        """Share of the held-out error with the smallest lambda that the recommended one saves."""
        least = self.mean[self.row, 0]
        return float((least - self.mean.min()) / least) if least > 0 else 0.0

    @property
    def gain_standard_error(self) -> float:
        """Standard error of `gain` over the folds."""
        least = self.mean[self.row, 0]
        return float(self.standard_error[self.row, 0] / least) if least > 0 else 0.0

    @property
    def variance_kept(self) -> NDArray[np.float64]:
        """Share of the variance over spots that is left of every type; NaN where none was."""
        before, after = self.variances
        kept: NDArray[np.float64] = np.divide(
            after, before, out=np.full(before.shape, np.nan), where=before > 0
        )
        return kept

    @property
    def total_variance_kept(self) -> float:
        """Share of the variance over spots that is left, of all types together."""
        before, after = self.variances.sum(axis=1)
        return float(after / before) if before > 0 else 1.0

    @property
    def caveat(self) -> str:
        """What to be wary of, where little was gained and much was smoothed; otherwise empty."""
        before, kept = self.variances[0], self.variance_kept
        flattened = (kept < FLATTENED) & (before >= SHOWN_ON_THE_MAP * before.sum())
        if self.gain >= LITTLE_GAINED or not (
            self.total_variance_kept < MUCH_SMOOTHED or flattened.any()
        ):
            return ""
        nearly = (
            f" λ {self.cautious_lambda:.3g} is within one standard error of the best."
            if self.cautious_lambda < self.lambda_
            else ""
        )
        return (
            "Little was gained and much was smoothed: compare the map with that at a smaller λ "
            f"before you trust it.{nearly}"
        )

    def describe(self) -> str:
        """Say what was chosen, what it gains, and what it does to the map."""
        said = f"λ {self.lambda_:.3g}, ρ {self.rho:.3g} predict held-out genes best."
        if self.lambda_ == self.lambdas[0]:
            return said
        gained = f"{100 * self.gain:.2g} ± {100 * self.gain_standard_error:.2g} %"
        said += f" Against λ {self.lambdas[0]:.3g} the error is lower by {gained}"
        if not self.types:
            return f"{said}."
        kept = self.variance_kept
        least = [k for k in np.argsort(kept) if np.isfinite(kept[k])][:3]
        named = ", ".join(f"{self.types[k]} {_percent(kept[k])}" for k in least)
        left = _percent(self.total_variance_kept)
        return f"{said}, and {left} of the variance over spots is left (least of {named})."

    def describe_at(self, lambda_: float) -> str:
        """Say how another lambda of the grid compares, at the recommended rho."""
        column = int(np.argmin(np.abs(self.lambdas - lambda_)))
        best = self.mean.min()
        share = 100 / best if best > 0 else 0.0
        above = share * (self.mean[self.row, column] - best)
        error = share * self.standard_error[self.row, column]
        said = f"λ {self.lambdas[column]:.3g}: error "
        return said + (f"higher by {above:.2g} ± {error:.2g} %" if above > 0 else "lowest")

    def as_dict(self) -> dict[str, Any]:
        """Everything in it as numbers, text and lists that JSON can hold."""
        return {
            "process": str(self.process),
            "rhos": self.rhos.tolist(),
            "lambdas": self.lambdas.tolist(),
            "errors": self.errors.tolist(),
            "rho": self.rho,
            "lambda": self.lambda_,
            "cautious_lambda": self.cautious_lambda,
            "edges": list(self.edges),
            "gain": self.gain,
            "gain_standard_error": self.gain_standard_error,
            "total_variance_kept": self.total_variance_kept,
            "variance_kept": {
                name: float(kept) if np.isfinite(kept) else None
                for name, kept in zip(self.types, self.variance_kept, strict=True)
            },
        }


def judge(
    errors: NDArray[np.float64],
    rhos: NDArray[np.float64],
    lambdas: NDArray[np.float64],
    process: Process,
    limit: float,
) -> Choice:
    """Read the best setting from the errors.

    Parameters
    ----------
    errors
        R x L x folds.
    rhos, lambdas
        The grid, ascending.
    process
        Spatial process.
    limit
        Largest rho that it allows: the highest rho of the grid is no edge when it is there.

    Returns
    -------
    Choice
    """
    mean = errors.mean(axis=2)
    row, column = (int(at) for at in np.unravel_index(int(mean.argmin()), mean.shape))
    apart = errors - errors[row, column]
    standard_error = apart.std(axis=2, ddof=1) / np.sqrt(errors.shape[2])
    close = mean[row] - mean[row, column] <= standard_error[row]
    inner = {
        "lowest lambda": column > 0 or lambdas[0] == 0,
        "highest lambda": column < lambdas.size - 1,
        "lowest rho": row > 0 or rhos[0] <= 0,
        "highest rho": row < rhos.size - 1 or rhos[-1] >= SHORT_OF_LIMIT * limit,
    }
    searched = {"lambda": lambdas.size > 1, "rho": rhos.size > 1 and lambdas[column] > 0}
    edges = [
        name for name, is_inner in inner.items() if searched[name.split()[1]] and not is_inner
    ]
    return Choice(
        process=process,
        rhos=rhos,
        lambdas=lambdas,
        errors=errors,
        mean=mean,
        standard_error=standard_error,
        rho=float(rhos[row]),
        lambda_=float(lambdas[column]),
        cautious_lambda=float(lambdas[int(np.flatnonzero(close)[0])]),
        edges=tuple(edges),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
