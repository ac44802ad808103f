"""From one map to the next, and from one gene, cell type or component to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from napari_smoother.analyses.gene_values import gene_names
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.layers.embedding_map import EmbeddingMap
from napari_smoother.layers.scene import COMPOSITION, DATA, DOMINANT
from napari_smoother.study.view import viewable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.analyses.shown import View
    from napari_smoother.layers.scene import Scene
    from napari_smoother.section import Section

Thing = TypeVar("Thing")


def step_map(scene: Scene, by: int) -> None:
    """Bring the next map forward of those that have something to show."""
    study = scene.study
    if study.section is None:
        return
    found = [name for name in scene.maps if study.analyses[name].result is not None]
    composition = [COMPOSITION] if study.composition is not None else []
    scene.show_stage(_beside([DATA, *composition, *found], scene.stage, by))


def step_shown(scene: Scene, by: int) -> None:
    """Show the next of what the map in front shows one of."""
    study = scene.study
    if study.section is None:
        return
    shown_by = scene.maps.get(scene.stage)
    if isinstance(shown_by, EmbeddingMap):
        result = shown_by.analysis.result
        if result is not None:
            shown_by.show_component((shown_by.shown.component + by) % result.n_dims)
    elif shown_by is not None:
        settings = study.analyses[scene.stage].settings
        if isinstance(settings, ImputationSettings) and settings.gene:
            gene = _beside(list(gene_names(study.section).rows), settings.gene, by)
            study.analyses[scene.stage].settings = replace(settings, gene=gene)
    elif scene.stage == COMPOSITION and study.composition is not None:
        scene.show_type(_beside([DOMINANT, *study.composition.types], scene.cell_type, by))
    elif scene.shown.view is not None:
        scene.colour_by(next_view(study.section, scene.shown.view, by))


def next_view(section: Section, view: View, by: int) -> View:
    """Return the view of the next gene, or of the next column."""
    if view.source == "gene":
        genes = [str(row) for row in gene_names(section).rows]
        return replace(view, key=_beside(genes, view.key, by))
    names = viewable(section)[view.source]
    if view.source == "obs":
        return replace(view, key=_beside(names, view.key, by))
    key, _, column = _beside(names, f"{view.key} / {view.column}", by).partition(" / ")
    return replace(view, key=key, column=column)


def _beside(things: Sequence[Thing], present: Thing, by: int) -> Thing:
    """Return the thing so many places on, from the end to the beginning again."""
    place = things.index(present) + by if present in things else 0
    return things[place % len(things)]
