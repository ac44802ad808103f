"""Genes that differ between groups of spots, ranked when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_smoother.analyses import gene_ranking, ranked_genes
from napari_smoother.analyses.comparison_settings import RankingSettings
from napari_smoother.analyses.gene_ranking import GeneRanking
from napari_smoother.analyses.gene_values import spots_with_counts
from napari_smoother.analyses.spot_groups import Groups, compared_groups
from napari_smoother.analyses.stage import Stage
from napari_smoother.study.between_groups import BetweenGroups
from napari_smoother.study.kept import from_entries, to_entries

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.section import Section
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.open_section import OpenSection

MISSING = f"Genes are ranked by scanpy. Install the extra: {ranked_genes.EXTRA}"


def counted_in(section: Section) -> NDArray[Any]:
    """Return which spots of a section have counts."""
    return spots_with_counts(section.adata, where=section.name)


def chosen_of(groups: Groups, counted: NDArray[Any], settings: RankingSettings) -> Groups:
    """Return those of the groups that a ranking is of.

    Raises
    ------
    InputError
        If they cannot be ranked.
    """
    return ranked_genes.choose(compared_groups(groups, settings, counted), settings)[0]


class RankedGenes(BetweenGroups[RankingSettings, GeneRanking]):
    """`napari_smoother.rank_genes` on the groups of a study.

    Parameters
    ----------
    study
        Whose section and groups it is about.
    """

    name = gene_ranking.KEY
    wanted = "genes"
    work = "ranking genes"
    button = "Rank genes"
    follows = False
    is_quick = False
    kept_records = (GeneRanking, Groups)
    known_fields = ("settings", "genes")

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self._counted = Stage(counted_in)
        self._chosen = Stage(chosen_of)

    @property
    def missing(self) -> str:
        """What has to be installed first; empty when nothing has."""
        return "" if find_spec("scanpy") is not None else MISSING

    def part_of(self, recipe: Recipe) -> RankingSettings:
        """Return what decides a ranking of genes."""
        return recipe.comparison.ranking

    def basis(self) -> Groups:
        """Return the groups, if they can be compared."""
        groups = self.groups
        self._compared(groups)
        return groups

    def _compared(self, groups: Groups) -> Groups:
        """Return those of the groups that a ranking is of."""
        section = self.study.section
        assert section is not None
        return self._chosen(groups, self._counted(section), self.settings)

    def among(
        self, request: Request[RankingSettings, GeneRanking], kept: KeptSpots
    ) -> Request[RankingSettings, GeneRanking]:
        """Return a request for groups of the spots that are analysed."""
        groups = request.basis
        basis = replace(groups, codes=kept.among(groups.codes))
        return replace(super().among(request, kept), basis=basis)

    def over_all(self, found: GeneRanking, kept: KeptSpots) -> GeneRanking:
        """Return the ranking as it is: it is one of groups, not of spots."""
        return found

    def compute(
        self, request: Request[RankingSettings, GeneRanking], context: Context
    ) -> GeneRanking:
        """Rank the genes."""
        return ranked_genes.compute(
            request.section.adata,
            request.basis,
            request.settings,
            context,
            where=request.section.name,
        )

    def to_keep(self, result: GeneRanking) -> dict[str, Any]:
        """Return everything but the names of genes as entries of a file."""
        return to_entries(result, self.known_fields)

    def restore_from(
        self,
        kept: dict[str, Any],
        request: Request[RankingSettings, GeneRanking],
        context: Context,
    ) -> GeneRanking:
        """Return the ranking that was kept."""
        genes = request.section.adata.var_names.astype(str)
        known = {"settings": request.settings, "genes": genes}
        found: GeneRanking = from_entries(kept, self.kept_records, known)
        return found

    def _kept_for(self, request: Request[RankingSettings, GeneRanking]) -> Any:
        study = self.study
        recipe = study.recipe
        kept = study.kept(
            self.name,
            {self.field: recipe.comparison},
            recipe.graph,
            study.region_labels,
            None,
            request.quality,
        )
        if kept is None:
            return None
        # The column, or the domains, may be others than then.
        before = from_entries(kept, self.kept_records, {"settings": None, "genes": None}).groups
        return kept if before == self._compared(request.basis) else None

    def describe(self, result: GeneRanking) -> str:
        """Return how many genes differ."""
        return result.describe()

    def write(self, adata: AnnData, result: GeneRanking) -> None:
        """Put it in ``uns["rank_genes_groups"]``, as scanpy does."""
        result.write(adata)
