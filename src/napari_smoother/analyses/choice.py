"""Choice of rho and lambda by genes that the fit has not seen, for one section or many."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.deconvolution import known_reference
from napari_smoother.analyses.deconvolution_settings import DeconvolutionSettings
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import require
from napari_smoother.keys import with_report, without_none
from napari_smoother.models import choice
from napari_smoother.models.choice import LAMBDAS, GraphedCounts
from napari_smoother.models.deconv.catalogue import (
    ModelName,
    SectionScale,
    check_scale,
    data_scale,
    facts_of,
)
from napari_smoother.models.deconv.preparation import (
    DEFAULT_GENE_WEIGHTS,
    DEFAULT_INTERCEPT,
    DEFAULT_SCALE,
    GeneWeights,
)
from napari_smoother.solvers.threads import one_blas_thread
from napari_smoother.weights.annotated import section_graph
from napari_smoother.weights.precision import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.models.judged_choice import Choice


@dataclass(frozen=True, slots=True)
class ChoiceSettings(ComparedByValue):
    """How rho and lambda are chosen.

    Parameters
    ----------
    model
        One of least squares: ``"nnls"`` or ``"linear_regression"``.
    process
        The spatial process of the prior; not the moving average.
    scale, gene_weights, intercept
        As in `DeconvolutionSettings`: lambda means what it means there.
    rhos
        Autocorrelations to try; None for five up to the largest that the process allows.
    lambdas
        Strengths of the prior to try, 0 or more.
    folds
        Parts the genes are split into; every part is held out once.
    seed
        Of the split.
    tolerance
        KKT residual of each fit.
    """

    model: ModelName = "nnls"
    process: Process = "icar"
    scale: SectionScale = DEFAULT_SCALE
    gene_weights: GeneWeights = DEFAULT_GENE_WEIGHTS
    intercept: bool = DEFAULT_INTERCEPT
    rhos: tuple[float, ...] | None = None
    lambdas: tuple[float, ...] = LAMBDAS
    folds: int = 3
    seed: int = 0
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        require(
            facts_of(self.model).least_squares and self.process != "sma",
            f"Held-out genes cannot choose for {self.model} under {self.process}",
            "choice of smoothing",
            'Choose "nnls" or "linear_regression" and another process than "sma"',
        )
        check_scale(self.model, self.scale)

    @classmethod
    def of(cls, settings: DeconvolutionSettings) -> ChoiceSettings:
        """Return how to choose for a deconvolution.

        Raises
        ------
        InputError
            If it is not of least squares under a sparse precision.
        """
        return cls(
            model=settings.model,
            process=settings.process,
            scale=settings.scale,
            gene_weights=settings.gene_weights,
            intercept=settings.intercept,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPrior:
    """The rho and lambda that predict held-out genes best.

    Parameters
    ----------
    settings
        How they were chosen.
    choice
        Errors over the grid, and what they say.
    reference
        Name of the reference.
    sections
        Counts of the sections they were chosen for.
    weights_given
        Whether genes had weights of their own, which no setting names.
    """

    settings: ChoiceSettings
    choice: Choice
    reference: str
    sections: tuple[SectionCounts, ...]
    weights_given: bool = False

    @property
    def rho(self) -> float:
        """The autocorrelation that was chosen."""
        return self.choice.rho

    @property
    def lambda_(self) -> float:
        """The strength of the prior that was chosen."""
        return self.choice.lambda_

    @property
    def report(self) -> dict[str, Any]:
        """What was chosen and by which errors: numbers, text and lists."""
        choice = self.choice
        return {
            "rho": choice.rho,
            "lambda": choice.lambda_,
            "cautious_lambda": choice.cautious_lambda,
            "rhos": choice.rhos.tolist(),
            "lambdas": choice.lambdas.tolist(),
            "errors": choice.mean.tolist(),
            "standard_errors": choice.standard_error.tolist(),
            "edges": list(choice.edges),
            "gain": choice.gain,
            "gain_standard_error": choice.gain_standard_error,
            "total_variance_kept": choice.total_variance_kept,
            "types": list(choice.types),
            "variance_kept": choice.variance_kept.tolist(),
            "caveat": choice.caveat,
        }

    def describe(self) -> str:
        """Say what was chosen, what it gains, and what it does to the map."""
        return self.choice.describe()

    def write(
        self,
        adata: AnnData,
        key_added: str = "choice",
        further: Mapping[str, Any] | None = None,
    ) -> None:
        """Write it into a section that it was chosen for.

        Parameters
        ----------
        adata
            The section.
        key_added
            ``uns["smoother"][key_added]`` gets recipe and report; see `choose_smoothing`.
        further
            What else belongs to the recipe: the graph, where counts were looked for. None in it
            stands for the default.
        """
        recipe = {
            **asdict(self.settings),
            "reference": self.reference,
            "sections": [counts.where for counts in self.sections],
            "counts": [counts.origin.describe() for counts in self.sections],
            **(further or {}),
        }
        for grid in ("rhos", "lambdas"):
            recipe[grid] = None if recipe[grid] is None else list(recipe[grid])
        if self.weights_given:
            recipe["gene_weights"] = "given"
        entry = {"recipe": without_none(recipe), "report": self.report}
        adata.uns = with_report(adata.uns, {key_added: entry})


def compute(
    counts: SectionCounts,
    reference: Reference,
    weights: csr_array,
    settings: ChoiceSettings,
    context: Context = Context(),
    *,
    gene_weights: ArrayLike | None = None,
) -> ChosenPrior:
    """Choose rho and lambda for a section.

    Parameters
    ----------
    counts
        Of n spots.
    reference
        The cell types to look for.
    weights
        Graph of the spots, n x n.
    settings
        How.
    context
        Told how many of the fits are done.
    gene_weights
        A weight for every gene of the section, instead of what the settings name.

    Returns
    -------
    ChosenPrior

    Raises
    ------
    InputError
        If data or settings cannot be used.
    Cancelled
        If the context said so.

    Warns
    -----
    UserWarning
        If the best lies on an edge of the grid, or little was gained and much was smoothed.
    """
    sections = [(counts, weights)]
    return choose_over_sections(sections, reference, settings, context, gene_weights=gene_weights)


def choose_over_sections(
    sections: Sequence[tuple[SectionCounts, csr_array]],
    reference: Reference,
    settings: ChoiceSettings,
    context: Context = Context(),
    *,
    gene_weights: ArrayLike | None = None,
) -> ChosenPrior:
    """Choose one rho and lambda for several sections: squared errors are summed over all spots.

    Parameters
    ----------
    sections
        Counts and graph of each, one or more.
    reference, settings, context, gene_weights
        As in `compute`.

    Returns
    -------
    ChosenPrior

    Raises
    ------
    InputError
        If there is no section, or any of them cannot be used.
    Cancelled
        If the context said so.

    Warns
    -----
    UserWarning
        As in `compute`.
    """
    # Threads round otherwise than one: the same settings are to end in the same bits.
    with one_blas_thread():
        found = choice.choose_over_sections(
            [GraphedCounts(counts.values, counts.genes, weights) for counts, weights in sections],
            reference,
            process=settings.process,
            rhos=settings.rhos,
            lambdas=settings.lambdas,
            folds=settings.folds,
            scale=data_scale(settings.scale),
            gene_weights=settings.gene_weights if gene_weights is None else gene_weights,
            intercept=settings.intercept,
            bounded=settings.model == "nnls",
            seed=settings.seed,
            tolerance=settings.tolerance,
            cancelled=context.cancelled,
            report=lambda done, total: context.say("choosing ρ and λ", done, total),
        )
    chosen_for = tuple(counts for counts, _ in sections)
    return ChosenPrior(settings, found, reference.name, chosen_for, gene_weights is not None)


def choose_smoothing(
    adata: AnnData,
    reference: Reference | AnnData | pd.DataFrame,
    *,
    cell_type: str = "cell_type",
    layer: str | None = None,
    model: ModelName = "nnls",
    scale: SectionScale | None = None,
    gene_weights: GeneWeights | ArrayLike | None = None,
    intercept: bool | None = None,
    process: Process = "icar",
    rhos: Sequence[float] | None = None,
    lambdas: Sequence[float] = LAMBDAS,
    folds: int = 3,
    seed: int = 0,
    tolerance: float = 1e-3,
    n_neighbors: int = 6,
    library_key: str | None = None,
    key_added: str = "choice",
    copy: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> AnnData | None:
    """Choose rho and lambda for `deconvolve` by how well they predict genes left out of the fit.

    Genes are split into folds; for every rho and lambda of a grid the abundances are found from
    the kept genes and judged by the squared error at the others (Stone 1974, J. R. Stat. Soc. B
    36). ``docs/choice.md`` has how close to the truth that comes where the truth is known.

    Parameters
    ----------
    adata
        Spots x genes. Neighbours are taken from ``obsp["spatial_connectivities"]``; without it
        they are the mutual nearest neighbours of ``obsm["spatial"]``.
    reference, cell_type, layer
        As in `deconvolve`.
    model
        ``"nnls"`` or ``"linear_regression"``.
    scale, gene_weights, intercept
        As in `deconvolve`; None takes the model's own.
    process
        ``"car"``, ``"sar"``, ``"icar"`` or ``"isar"``.
    rhos
        Autocorrelations to try; None for five up to the largest that the process allows.
    lambdas
        Strengths of the prior to try, 0 or more.
    folds
        Parts the genes are split into, from 2; every part is held out once.
    seed
        Of the split.
    tolerance
        KKT residual of each fit.
    n_neighbors
        How many nearest neighbours to take where there is no graph yet.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.
    key_added
        Where the result goes.
    copy
        Whether to return a copy and leave ``adata`` as it is.
    cancelled
        Asked in every step.

    Returns
    -------
    AnnData or None
        The copy, when asked for. ``uns["smoother"][key_added]`` has the ``"recipe"`` and the
        ``"report"``: ``"rho"`` and ``"lambda"``, which predict best; ``"rhos"`` and
        ``"lambdas"``, the grid, R and L numbers; ``"errors"``, R x L, the mean weighted squared
        error, and ``"standard_errors"`` of its difference from the least; ``"variance_kept"``,
        the share of the variance over spots that is left of each of ``"types"``.

    Raises
    ------
    InputError
        If counts, positions, graph, genes, grid or settings cannot be used.
    Cancelled
        If ``cancelled`` returned True; nothing is written then.

    Warns
    -----
    UserWarning
        If the best lies on an edge of the grid, or little was gained and much was smoothed.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> sample = simulate_cortex(rows=16, n_genes=150)
    >>> adata = sample.section.adata.copy()
    >>> ns.choose_smoothing(adata, sample.reference, lambdas=[0.01, 0.1, 1.0, 10.0, 100.0])
    >>> chosen = adata.uns["smoother"]["choice"]["report"]
    >>> chosen["lambda"] in chosen["lambdas"]
    True
    >>> ns.deconvolve(adata, sample.reference, rho=chosen["rho"], lambda_=chosen["lambda"])
    """
    own = DeconvolutionSettings().with_model(model)
    named = isinstance(gene_weights, str)
    settings = ChoiceSettings(
        model=model,
        process=process,
        scale=own.scale if scale is None else scale,
        gene_weights=cast("GeneWeights", gene_weights) if named else own.gene_weights,
        intercept=own.intercept if intercept is None else bool(intercept),
        rhos=None if rhos is None else tuple(float(rho) for rho in rhos),
        lambdas=tuple(float(lambda_) for lambda_ in lambdas),
        folds=int(folds),
        seed=int(seed),
        tolerance=float(tolerance),
    )
    counts = SectionCounts.found_in(adata, layer)
    weights, graph = section_graph(adata, n_neighbors, library_key)
    found = compute(
        counts,
        known_reference(reference, cell_type),
        weights,
        settings,
        Context(cancelled),
        gene_weights=None if named else gene_weights,
    )
    target = adata.copy() if copy else adata
    further = {
        "graph": graph,
        "layer": layer,
        "n_neighbors": int(n_neighbors),
        "library_key": library_key,
    }
    found.write(target, key_added, further)
    return target if copy else None
