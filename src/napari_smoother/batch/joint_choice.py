"""One rho and lambda for all sections of a cohort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoother.analyses.choice import ChoiceSettings, choose_over_sections
from napari_smoother.analyses.section_counts import SectionCounts
from napari_smoother.batch.task import evaluate
from napari_smoother.errors import InputError
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.analyses.recipe_file import RecipeFile
    from napari_smoother.batch.task import Task


def choose_jointly(tasks: Sequence[Task], content: RecipeFile) -> RecipeFile:
    """Return a recipe with the rho and lambda that predict held-out genes of all sections best.

    Counts of all sections are in memory at once.

    Parameters
    ----------
    tasks
        The sections.
    content
        Graph and model as they are to be.

    Raises
    ------
    InputError
        If sections have references of their own, or one cannot be used.
    """
    references = {task.reference for task in tasks}
    name = references.pop() if len(references) == 1 else None
    if name is None and content.run.reference is not None and not references:
        name = str(Path(tasks[0].recipe_folder) / content.run.reference)
    if name is None:
        raise InputError(
            "One lambda for all sections needs one reference for all",
            where="run, --choose-jointly",
            remedy="Give it by --reference, or as run.reference in the recipe",
        )
    reference = read_reference(
        name,
        tasks[0].cell_type or content.run.cell_type,
        counts=content.run.reference_counts,
    )
    graph_only = replace(content, run=replace(content.run, analyses=()))
    sections = []
    for task in tasks:
        opened = open_section(task.path, library=task.library, counts=content.run.counts)
        study = evaluate(opened, graph_only)
        graph = study.analysed_graph
        assert graph is not None
        sections.append((SectionCounts.of(graph.section), graph.weights))
    settings = content.recipe.deconvolution
    chosen = choose_over_sections(sections, reference, ChoiceSettings.of(settings))
    found = replace(settings, rho=chosen.rho, lambda_=chosen.lambda_)
    return replace(content, recipe=replace(content.recipe, deconvolution=found))
