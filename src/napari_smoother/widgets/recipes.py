"""The recipe of the open section in files and scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, from_toml, to_toml
from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.figures.embedded import recipe_of_figure
from napari_smoother.figures.save import ENDINGS as FIGURE_ENDINGS
from napari_smoother.widgets.notices import tell, tell_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.counts.origin import CountsOrigin
    from napari_smoother.study.study import Study
    from napari_smoother.widgets.session import Session


def recipe_of(study: Study) -> RecipeFile:
    """Return the recipe of a study, which wants what has been found."""
    found = [each for each in study.analyses.values() if each.result is not None]
    reference = study.reference
    source = None if reference is None else reference.source
    return RecipeFile(
        study.recipe,
        RunSettings(
            analyses=tuple(each.wanted for each in found if each.wanted is not None),
            reference=None if source is None else str(source),
            cell_type=None if reference is None else reference.cell_type,
            counts=None if study.section is None else _chosen_place(study.section.origin),
            reference_counts=None if reference is None else _chosen_place(reference.origin),
        ),
    )


def figure_recipe(study: Study) -> str:
    """Return the recipe that goes into the file of a figure, as TOML.

    Figures are published: of the reference it has the name of the file, not its folder.
    """
    content = recipe_of(study)
    run = content.run
    if run.reference is not None:
        run = replace(run, reference=Path(run.reference).name)
    return to_toml(replace(content, run=run))


def _chosen_place(origin: CountsOrigin | None) -> str | None:
    """Return where counts were read, where the file had them to choose from."""
    return origin.place if origin is not None and len(origin.places) > 1 else None


def save_recipe(session: Session, path: Path) -> None:
    """Write the recipe as TOML."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(to_toml(recipe_of(session.study)), encoding="utf-8")
    except InputError as error:
        tell_error(error)
        return
    tell(f"Saved {path}")


def open_recipe(session: Session, path: Path) -> None:
    """Take the settings of a recipe for the open section: one step of its history.

    Parameters
    ----------
    session
        Whose.
    path
        TOML, or a figure that was saved here: of a figure also what is shown is taken, so that
        the same figure can be made again.
    """

    def read(cancelled: Callable[[], bool]) -> Recipe:
        if of_figure:
            return recipe_of_figure(path).recipe
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise InputError(
                f"The recipe cannot be read: {fault}",
                where=str(path),
                remedy="Choose a TOML file, or a figure that was saved here",
            ) from fault
        return from_toml(text, str(path)).recipe

    of_figure = path.suffix.lower() in FIGURE_ENDINGS
    session.load(
        read,
        lambda recipe: session.study.take_settings(recipe, with_shown=of_figure),
        f"reading {path.name}",
    )


def as_python(study: Study) -> str:
    """Return a script that finds what the window has found, to the bit.

    Raises
    ------
    InputError
        If the section came from no file.
    """
    section = study.section
    if section is None or section.source is None:
        raise InputError(
            "The section came from no file that a script could read",
            where="copy as Python",
            remedy="Save the section first, and open what was saved",
        )
    content = recipe_of(study)
    if study.reference is not None and content.run.reference is None:
        raise InputError(
            "The reference came from no file that a script could read",
            where="copy as Python",
            remedy="Open the reference from its file",
        )
    library = "" if section.library is None else f", library={section.library!r}"
    return f'''"""The analysis of {section.name!a}, as it was in the window."""

import napari_smoother as ns

RECIPE = {_quoted(to_toml(content))}

adata = ns.run_recipe(RECIPE, {str(section.source)!r}{library})
print(adata)
'''


def _quoted(text: str) -> str:
    """Return a text as Python, on as many lines as it has."""
    if "\\" in text or "'''" in text:
        return repr(text)
    return f"'''\\\n{text}'''"
