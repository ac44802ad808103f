"""Quality of spots: their counts, genes and mitochondrial share, and which of them are kept.

counts of the section -> metrics -> kept spots -> section of these, that all else is found from
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.histogram import Axis, Histogram, LogAxis
from napari_smoother.analyses.kept_spots import KeptSpots
from napari_smoother.analyses.quality_settings import METRICS, Metric, QualitySettings
from napari_smoother.analyses.quantities import Numbers
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError, require
from napari_smoother.keys import with_report, without_none
from napari_smoother.models.deconv.gene_names import GeneNames

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.section import Section

NAMES: dict[Metric, str] = {
    "counts": "counts of the spot",
    "genes": "genes with counts in the spot",
    "mitochondrial": "mitochondrial share of counts, %",
}

COLUMNS: dict[Metric, str] = {
    "counts": "total_counts",
    "genes": "n_genes_by_counts",
    "mitochondrial": "pct_counts_mt",
}
"""Columns of obs, named as scanpy names them."""

KEPT = "passes_quality"
"""Column of obs that says which spots are kept."""

MITOCHONDRIAL = "mt"
"""Column of var that says which genes are mitochondrial."""


@dataclass(frozen=True, slots=True, eq=False)
class SpotMetrics:
    """What is known of the counts of every spot.

    Parameters
    ----------
    spots
        n barcodes.
    counts
        n, float64: over all genes.
    genes
        n, int64: genes with a count.
    mitochondrial
        n, float64: share of the counts that are of mitochondrial genes, in per cent; NaN for
        spots without counts. None where no gene is known to be mitochondrial.
    is_mitochondrial
        Of every gene.
    mitochondrial_genes
        Their symbols.
    histograms
        Of every metric that is known.
    """

    spots: pd.Index[str]
    counts: NDArray[np.float64]
    genes: NDArray[np.int64]
    mitochondrial: NDArray[np.float64] | None
    is_mitochondrial: NDArray[np.bool_]
    mitochondrial_genes: tuple[str, ...]
    histograms: dict[Metric, Histogram]

    def values(self, metric: Metric) -> NDArray[Any] | None:
        """Return a metric of every spot; None where it is not known."""
        values: NDArray[Any] | None = getattr(self, metric)
        return values

    def numbers(self, metric: Metric) -> Numbers | None:
        """Return a metric as a map shows it; None where it is not known."""
        values = self.values(metric)
        return None if values is None else Numbers(NAMES[metric], values.astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Which spots are kept, and by what.

    Parameters
    ----------
    settings
        The limits.
    metrics
        Of every spot.
    kept
        n booleans.
    removed
        How many spots are beyond each limit, by the name of its field; a spot may be beyond
        several.
    """

    settings: QualitySettings
    metrics: SpotMetrics
    kept: NDArray[np.bool_]
    removed: dict[str, int]

    @property
    def n_removed(self) -> int:
        """How many spots are not kept."""
        return int(len(self.kept) - np.count_nonzero(self.kept))

    def describe(self) -> str:
        """Say it in a line."""
        n_spots = len(self.kept)
        return f"{n_spots - self.n_removed:,} of {n_spots:,} spots are kept"

    def table(self) -> pd.DataFrame:
        """Return the metrics that are known and which spots are kept, barcodes as index."""
        known = {column: self.metrics.values(metric) for metric, column in COLUMNS.items()}
        columns = {column: values for column, values in known.items() if values is not None}
        return pd.DataFrame({**columns, KEPT: self.kept}, index=self.metrics.spots)

    def write(self, adata: AnnData, key_added: str = "quality") -> None:
        """Write it into the section that it was found in; see `spot_quality`."""
        metrics = self.metrics
        for column, values in self.table().items():
            adata.obs[column] = values.to_numpy()
        adata.var[MITOCHONDRIAL] = metrics.is_mitochondrial
        report = {
            "n_spots": len(self.kept),
            "n_removed": self.n_removed,
            "n_mitochondrial_genes": len(metrics.mitochondrial_genes),
            **{f"n_beyond_{limit}": number for limit, number in self.removed.items()},
        }
        recipe = without_none({"model": "quality", **asdict(self.settings)})
        adata.uns = with_report(adata.uns, {key_added: {"recipe": recipe, "report": report}})


class QualitySteps:
    """The steps from counts to kept spots, each remembered while its inputs are the same.

    Attributes
    ----------
    running
        Held by whoever runs the steps: one at a time.
    metrics, judged, chosen, kept, labels
        The steps.
    """

    def __init__(self) -> None:
        self.running = threading.Lock()
        self.metrics = Stage(spot_metrics)
        self.judged = Stage(judge)
        self.kept = Stage(KeptSpots.of)
        self.labels = Stage(KeptSpots.among)
        self._mask = np.zeros(0, dtype=bool)

    def quality(
        self, section: Section, settings: QualitySettings, context: Context = Context()
    ) -> Quality:
        """Find the metrics of a section, and which of its spots are kept."""
        with self.running:
            context.look_up()
            return self._quality(section, settings)

    def kept_spots(
        self, section: Section, settings: QualitySettings, context: Context = Context()
    ) -> KeptSpots:
        """Return the section of the spots that are kept: the same object for the same spots.

        Raises
        ------
        InputError
            If no spot is, or one of the limits is of something that is not known.
        """
        if not settings.are_limits:
            return KeptSpots.all_of(section)
        with self.running:
            context.look_up()
            mask = self._quality(section, settings).kept
            if not np.array_equal(mask, self._mask):
                self._mask = mask  # otherwise the same object, which a stage knows again
            return self.kept(section, self._mask)

    def _quality(self, section: Section, settings: QualitySettings) -> Quality:
        counts = SectionCounts.of(section)
        return self.judged(self.metrics(counts, settings.mitochondrial_prefix), settings)


def spot_metrics(counts: SectionCounts, mitochondrial_prefix: str) -> SpotMetrics:
    """Find counts, genes and mitochondrial share of every spot.

    Parameters
    ----------
    counts
        Of n spots.
    mitochondrial_prefix
        What symbols of mitochondrial genes begin with, in capital or small letters.

    Raises
    ------
    InputError
        If there are no counts, or some are negative or not finite.
    """
    values = _checked(counts.values, counts.where)
    names = GeneNames.of(counts.genes).shown
    prefix = mitochondrial_prefix.casefold()
    is_mitochondrial = np.array([str(name).casefold().startswith(prefix) for name in names])
    totals = _sums(values)
    share = None
    if is_mitochondrial.any():
        part = _sums(values[:, np.flatnonzero(is_mitochondrial)])
        share = np.full(len(totals), np.nan)
        np.divide(100 * part, totals, out=share, where=totals > 0)
    genes = _sums(values > 0).astype(np.int64)
    histograms: dict[Metric, Histogram] = {
        "counts": Histogram.of(totals, LogAxis()),
        "genes": Histogram.of(genes, Axis()),
    }
    if share is not None:
        histograms["mitochondrial"] = Histogram.of(share, Axis(decimals=2))
    return SpotMetrics(
        spots=counts.spots,
        counts=totals,
        genes=genes,
        mitochondrial=share,
        is_mitochondrial=is_mitochondrial,
        mitochondrial_genes=tuple(map(str, names[is_mitochondrial])),
        histograms=histograms,
    )


def judge(metrics: SpotMetrics, settings: QualitySettings) -> Quality:
    """Say which spots are within all limits; a few passes over n numbers.

    Raises
    ------
    InputError
        If the mitochondrial share is limited, and no gene is known to be mitochondrial.
    """
    kept = np.ones(len(metrics.counts), dtype=bool)
    removed: dict[str, int] = {}
    for metric in METRICS:
        values, (low, high) = metrics.values(metric), settings.limits(metric)
        if low is None and high is None:
            continue
        if values is None:
            raise InputError(
                "The mitochondrial share is limited, and no gene of the section has a symbol that "
                f'begins with "{settings.mitochondrial_prefix}"',
                where="quality",
                remedy="Take the limit away, or name another prefix",
            )
        # NaN, where there is no share, is beyond neither.
        for name, beyond in (
            (f"min_{metric}", None if low is None else values < low),
            (f"max_{metric}", None if high is None else values > high),
        ):
            if beyond is not None:
                removed[name] = int(np.count_nonzero(beyond))
                kept &= ~beyond
    return Quality(settings, metrics, kept, removed)


def _checked(values: Any, where: str) -> Any:
    is_sparse: bool = sparse.issparse(values)
    stored = values.data if is_sparse else np.asarray(values)
    require(
        bool(np.isfinite(stored).all() and (stored >= 0).all()),
        "Values are negative or not finite, so they are not counts",
        where,
        "Choose where the counts are",
    )
    return values if is_sparse else stored


def _sums(values: Any) -> NDArray[np.float64]:
    return np.asarray(values.sum(axis=1), dtype=np.float64).ravel()


def spot_quality(
    adata: AnnData,
    *,
    layer: str | None = None,
    min_counts: float | None = None,
    max_counts: float | None = None,
    min_genes: int | None = None,
    max_genes: int | None = None,
    min_mitochondrial: float | None = None,
    max_mitochondrial: float | None = None,
    mitochondrial_prefix: str = "MT-",
    key_added: str = "quality",
    copy: bool = False,
) -> AnnData | None:
    """Count what every spot has, and say which spots are within limits.

    No spot is taken out: ``adata[adata.obs["passes_quality"]]`` is what the window, and a recipe
    with the same limits, work on.

    Parameters
    ----------
    adata
        Spots x genes.
    layer
        Where the counts are: ``"X"``, ``"raw"`` or the name of a layer; None looks for them.
    min_counts, max_counts
        Fewest and most counts of a spot, over all genes; None for no limit.
    min_genes, max_genes
        Fewest and most genes with a count in a spot; None for no limit.
    min_mitochondrial, max_mitochondrial
        Least and largest share of the counts that are of mitochondrial genes, in per cent; None
        for no limit. Spots without counts have no share, and pass.
    mitochondrial_prefix
        What symbols of mitochondrial genes begin with, in capital or small letters.
    key_added
        ``uns["smoother"][key_added]`` gets the limits and the report.
    copy
        Whether to return a copy and leave ``adata`` as it is.

    Returns
    -------
    AnnData or None
        The copy, when asked for. It has, under the names of
        ``scanpy.pp.calculate_qc_metrics``,

        ``obs["total_counts"]``, ``obs["n_genes_by_counts"]``
            Counts and genes with a count of every spot.
        ``obs["pct_counts_mt"]``
            Mitochondrial share of the counts, in per cent; NaN for spots without counts. Not
            there where no gene is known to be mitochondrial.
        ``obs["passes_quality"]``, ``var["mt"]``
            Which spots are within all limits, which genes are mitochondrial.

    Raises
    ------
    InputError
        If there are no counts, or the mitochondrial share is limited and no gene is known to be
        mitochondrial.

    Warns
    -----
    UserWarning
        If no gene is known to be mitochondrial.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=24, n_genes=150).section.adata
    >>> adata.var_names = ["MT-CO1", *adata.var_names[1:]]
    >>> ns.spot_quality(adata, min_counts=100)
    >>> bool((adata.obs["passes_quality"] == (adata.obs["total_counts"] >= 100)).all())
    True
    """
    settings = QualitySettings(
        min_counts,
        max_counts,
        min_genes,
        max_genes,
        min_mitochondrial,
        max_mitochondrial,
        mitochondrial_prefix,
    )
    counts = SectionCounts.found_in(adata, layer)
    found = judge(spot_metrics(counts, mitochondrial_prefix), settings)
    if found.metrics.mitochondrial is None:
        warnings.warn(
            f'No gene has a symbol that begins with "{mitochondrial_prefix}": the mitochondrial '
            "share is not known.",
            stacklevel=2,
        )
    target = adata.copy() if copy else adata
    found.write(target, key_added)
    return target if copy else None
