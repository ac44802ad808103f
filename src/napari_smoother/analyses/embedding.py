"""An embedding of a section, with the domains found on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
from napari_smoother.keys import with_report, without_none

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.domains import SpatialDomains
    from napari_smoother.analyses.embedding_settings import EmbeddingSettings
    from napari_smoother.analyses.expression import ChosenGenes
    from napari_smoother.analyses.kept_spots import KeptSpots


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Few numbers a spot that hold what many genes say.

    Attributes
    ----------
    settings
        What it was found with.
    model
        How: ``"spatial_pca"`` or ``"spatial_vae"``, which is also the key it is written under.
    kind
        What a dim is called: "spatial component".
    spots
        n barcodes.
    scores
        n x dims, float64; NaN for spots without a count.
    shares
        Of each dim in what varies: in the variance of the data for components, in that of the
        embedding for an autoencoder.
    chosen
        Which spots and genes it was made from.
    loadings
        Used genes x dims; None where there are none.
    domains
        On it; None where they were not asked for.
    report
        How well it was solved or trained: numbers, strings and lists.
    seconds
        Time of the solve.
    converged
        Whether the solve reached its tolerance.
    losses
        Of every epoch, where it was trained.
    """

    settings: EmbeddingSettings
    model: str
    kind: str
    spots: pd.Index[str]
    scores: NDArray[np.float64]
    shares: NDArray[np.float64]
    chosen: ChosenGenes
    loadings: NDArray[np.float64] | None = None
    domains: SpatialDomains | None = None
    report: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    converged: bool = True
    losses: tuple[float, ...] = ()

    @property
    def n_dims(self) -> int:
        """Number of dims."""
        return int(self.scores.shape[1])

    def over(self, kept: KeptSpots) -> Embedding:
        """Return the embedding of kept spots as that of all: others have no score."""
        return replace(
            self,
            spots=kept.spots,
            scores=kept.over_all(self.scores),
            chosen=self.chosen.over(kept),
            domains=None if self.domains is None else self.domains.over(kept),
        )

    def describe(self) -> str:
        """Return how well it was found, and the number of domains, in a few words."""
        if self.losses:
            parts = [
                f"trained · {len(self.losses)} epochs",
                f"loss {self.losses[-1]:.5g}",
                f"{self.seconds:.1f} s",
            ]
        else:
            parts = [
                "optimum" if self.converged else "stopped",
                f"residual {self.report['residual']:.0e}",
                f"{1000 * self.seconds:.0f} ms",
            ]
            if self.report["positive"] < self.n_dims:
                parts.append(f"only {self.report['positive']} of {self.n_dims} gain at this λ")
        if self.domains is not None:
            labels = self.domains.labels
            parts.append(f"{len(np.unique(labels[labels >= 0]))} domains")
        return " · ".join(parts)

    def entry(self) -> dict[str, Any]:
        """Return recipe and report as numbers, strings, lists and dictionaries."""
        recipe = {"model": self.model, **without_none(asdict(self.settings))}
        losses = {"losses": list(self.losses)} if self.losses else {}
        return {"recipe": recipe, "report": {**self.report, **losses}}

    def write(self, adata: AnnData, key_added: str | None = None, domain: str = "domain") -> None:
        """Write it into the section that it was found in.

        Parameters
        ----------
        adata
            Gets ``obsm["X_" + key_added]`` (scores), ``varm[key_added]`` (loadings, where there
            are any: 0 for genes that were not used) and ``uns["smoother"][key_added]`` (recipe
            and report).
        key_added
            By default the name of the model.
        domain
            Where domains go, if there are any; see `napari_smoother.domains`.
        """
        key = self.model if key_added is None else key_added
        adata.obsm[f"X_{key}"] = self.scores
        if self.loadings is not None:
            loadings = np.zeros((adata.n_vars, self.n_dims))
            loadings[self.chosen.genes] = self.loadings
            adata.varm[key] = loadings
        adata.uns = with_report(adata.uns, {key: self.entry()})
        if self.domains is not None:
            self.domains.write(adata, domain)

    def component(self, number: int) -> Numbers:
        """Return one dim, counted from 0."""
        return Numbers(f"{self.kind} {number + 1}", self.scores[:, number])

    def mixture(self, numbers: tuple[int, int, int]) -> Mixture:
        """Return three dims as red, green and blue."""
        red, green, blue = (f"{number + 1}" for number in numbers)
        return Mixture(
            f"{self.kind}s {red}, {green}, {blue} as red, green, blue",
            (f"{self.kind} {red}", f"{self.kind} {green}", f"{self.kind} {blue}"),
            self.scores[:, list(numbers)],
        )

    def table(self) -> pd.DataFrame:
        """Return spots x dims, with barcodes as index and the domain last where it is known."""
        names = [f"{self.kind} {number + 1}" for number in range(self.n_dims)]
        table = pd.DataFrame(self.scores, index=self.spots, columns=names)
        domains = self.domain_classes()
        if domains is not None:
            table["domain"] = pd.Categorical.from_codes(
                domains.codes, categories=pd.Index(domains.names)
            )
        return table

    def domain_classes(self) -> Classes | None:
        """Return the domain of each spot; None where they were not asked for."""
        if self.domains is None:
            return None
        labels = self.domains.labels
        names = tuple(f"domain {code + 1}" for code in range(int(labels.max()) + 1))
        return Classes(f"spatial domain on {self.kind}s", labels, names)
