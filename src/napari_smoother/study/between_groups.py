"""What the analyses of a study that compare groups of spots share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from napari_smoother.analyses import autoencoder, components
from napari_smoother.analyses.comparison_settings import GroupSettings
from napari_smoother.analyses.graph_settings import GraphSettings
from napari_smoother.analyses.spot_groups import Groups
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.study.analysis import Analysis, Outcome, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.section import Section
    from napari_smoother.study.open_section import OpenSection

Chosen = TypeVar("Chosen", bound=GroupSettings)
Found = TypeVar("Found")

REGION = "region"
"""The obs column that regions are saved in."""

DOMAINS = {
    "reduction": (components.MODEL, "domain"),
    "autoencoder": (autoencoder.MODEL, "domain_vae"),
}
"""Name of the analysis that finds domains, and the obs column they are saved in."""


def of_regions(regions: Regions, labels: NDArray[Any]) -> Groups:
    """Return regions as groups."""
    return Groups(REGION, tuple(each.name for each in regions.classes), labels)


def of_column(section: Section, column: str) -> Groups:
    """Return the classes of an obs column as groups.

    Raises
    ------
    InputError
        If there is no such column, or it holds too many classes.
    """
    if column not in section.adata.obs:
        raise InputError(
            f"There is no obs column {column!r}" if column else "No obs column is chosen",
            where=section.name,
            remedy="Choose one from the list",
        )
    return Groups.of(section.adata.obs[column])


def of_domains(embedding: Embedding | None, column: str) -> Groups:
    """Return domains as groups.

    Raises
    ------
    InputError
        If they have not been found.
    """
    if embedding is None or embedding.domains is None:
        raise InputError(
            "There are no domains yet",
            where="comparison",
            remedy="Find them on the Reduce page: choose Spatial domains as its map",
        )
    domains = embedding.domains
    found = domains.names[: int(domains.labels.max(initial=-1)) + 1]
    return Groups(column, tuple(map(str, found)), domains.labels)


class BetweenGroups(Analysis[Chosen, Found], Generic[Chosen, Found]):
    """An analysis that compares regions, domains or the classes of a column.

    Its result is taken away as soon as there is nothing to compare.
    """

    field = "comparison"
    needs_graph = False
    known_fields: ClassVar[tuple[str, ...]] = ("settings",)

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self._of_regions, self._of_column = Stage(of_regions), Stage(of_column)
        self._of_domains = Stage(of_domains)
        for name, _ in DOMAINS.values():
            if name in study.analyses:
                study.analyses[name].result_changed.connect(self._on_others)

    @abstractmethod
    def part_of(self, recipe: Recipe) -> Chosen:
        """Return what of a recipe decides the result."""

    @abstractmethod
    def basis(self) -> Any:
        """Return what the result is found from, besides section and settings.

        Raises
        ------
        InputError
            If there is nothing to compare yet.
        """

    @property  # type: ignore[misc]  # the recipe is changed as a whole
    def settings(self) -> Chosen:
        """What of the recipe decides the result."""
        return self.part_of(self.study.recipe)

    @property
    def groups(self) -> Groups:
        """All groups there are, by the settings.

        Raises
        ------
        InputError
            If there are none yet.
        """
        study, settings = self.study, self.settings
        if study.section is None:
            raise InputError(
                "No section is open", where="comparison", remedy="Open one on the Data page"
            )
        if settings.groups == "column":
            return self._of_column(study.section, settings.column)
        if settings.groups in DOMAINS:
            name, column = DOMAINS[settings.groups]
            analysis = study.analyses.get(name)
            return self._of_domains(None if analysis is None else analysis.result, column)
        if not study.regions.classes:
            raise InputError(
                "There are no regions yet",
                where="comparison",
                remedy="Draw two regions on the Regions page, find domains on the Reduce page, or "
                "choose a column",
            )
        return self._of_regions(study.regions, study.region_labels)

    @property
    def obstacle(self) -> InputError | None:
        """Why nothing can be compared, and what to do about it; None where it can be."""
        try:
            self.basis()
        except InputError as problem:
            return problem
        return None

    def update(self) -> None:
        """Bring the result up to date now.

        Raises
        ------
        InputError
            If there is nothing to compare.
        """
        self.basis()
        super().update()

    def note(self, before: Recipe, after: Recipe, *, moved: bool) -> None:
        """Tell what a change of the recipe means here; the graph has no part in it."""
        mine = self.part_of(after) != self.part_of(before)
        if mine:
            self.settings_changed.emit(self.settings)
        if mine or moved or after.regions != before.regions:
            self.follow()

    def follow(self) -> None:
        """Tell that the result is outdated, if it is, and take it away if there can be none."""
        if self.result is not None and self._wanted() is None:
            self.drop()
        if self.active and not self.is_up_to_date:
            self.outdated.emit()

    def accept(self, outcome: Outcome[Chosen, Found]) -> bool:
        """Take over what a run found, unless there is nothing to compare any more."""
        return self._wanted() is not None and super().accept(outcome)

    def _wanted(self) -> Request[Chosen, Found] | None:
        request = super()._wanted()
        if request is None:
            return None
        try:
            basis, groups = self.basis(), self.groups
        except InputError:
            return None
        # Of graph and regions nothing matters but the groups.
        return replace(request, graph_settings=GraphSettings(), labels=groups.codes, basis=basis)

    def _on_others(self, result: Any) -> None:
        self.follow()

    def describe_settings(self, settings: Chosen) -> str:
        """Return what was compared."""
        what = settings.column if settings.groups == "column" else settings.groups
        if len(settings.pairs) == 1:
            ((group, reference),) = settings.pairs
            return f"{group} against {reference or 'all others'}"
        return f"the comparison of {what}"
