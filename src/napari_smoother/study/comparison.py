"""The composition of groups of spots beside each other, kept as recipe and composition have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses import comparison
from napari_smoother.analyses.comparison import RegionComparison, valued
from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.spot_groups import Groups, compared_groups, pairs_among
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.study.between_groups import BetweenGroups

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.context import Context
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.study.analysis import Request
    from napari_smoother.study.study import Study


def check(groups: Groups, composition: Composition | None, settings: ComparisonSettings) -> None:
    """Refuse what cannot be compared.

    Raises
    ------
    InputError
        If there are fewer than two groups with values, one is missing, or there are no values.
    """
    if composition is None:
        used = np.ones(len(groups.codes), dtype=np.bool_)
    else:
        used = valued(composition.proportions, _deviation(composition))
    pairs_among(settings, compared_groups(groups, settings, used))
    if composition is None:
        raise InputError(
            "There is no composition yet",
            where="comparison",
            remedy="Choose a reference on the Deconvolve page",
        )


class Comparison(BetweenGroups[ComparisonSettings, RegionComparison]):
    """`napari_smoother.compare_regions` on the composition of a study.

    It takes milliseconds, so that a file need not keep it.

    Parameters
    ----------
    study
        Whose composition and regions it is about.
    """

    name = comparison.KEY
    wanted = "comparison"
    work = "comparing"
    study: Study

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._checked = Stage(check)
        study.composition_changed.connect(self._on_others)

    def part_of(self, recipe: Recipe) -> ComparisonSettings:
        """Return everything about comparing: blocks and level too."""
        return recipe.comparison

    def basis(self) -> tuple[Groups, Composition]:
        """Return groups and composition, if two groups have values."""
        groups, composition = self.groups, self.study.composition
        self._checked(groups, composition, self.settings)
        assert composition is not None
        return groups, composition

    def among(
        self, request: Request[ComparisonSettings, RegionComparison], kept: KeptSpots
    ) -> Request[ComparisonSettings, RegionComparison]:
        """Return the request as it is: spots that are left out have no composition."""
        return request

    def over_all(self, found: RegionComparison, kept: KeptSpots) -> RegionComparison:
        """Return the comparison as it is: it is one of groups, not of spots."""
        return found

    def compute(
        self, request: Request[ComparisonSettings, RegionComparison], context: Context
    ) -> RegionComparison:
        """Compare the groups."""
        groups, composition = request.basis
        shares = composition.table()
        assert shares is not None
        found = comparison.compute(
            shares,
            groups,
            request.section.positions,
            request.settings,
            context,
            deviation=_deviation(composition),
        )
        found.report["key"] = composition.settings.model
        return found

    def describe(self, result: RegionComparison) -> str:
        """Return how many differences there are."""
        return result.describe()

    def write(self, adata: AnnData, result: RegionComparison) -> None:
        """Put the tables in ``uns["region_comparison"]`` and beside it."""
        result.write(adata)


def _deviation(composition: Composition) -> NDArray[Any] | None:
    deviation = composition.deviation
    return None if deviation is None else deviation.proportion_deviation
