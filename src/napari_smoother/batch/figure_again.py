"""A figure made again from its own file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from napari_smoother.analyses.recipe_file import from_toml
from napari_smoother.batch.task import Task, studied
from napari_smoother.errors import InputError
from napari_smoother.figures.embedded import recipe_text_of
from napari_smoother.printing.plan import plan

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure


def figure_from_file(
    figure: str | os.PathLike[str],
    section: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    cell_type: str | None = None,
    library: str | None = None,
) -> Figure:
    """Make a figure again, from the recipe in its file: what the window drew, to the pixel.

    Parameters
    ----------
    figure
        PNG, TIFF, SVG or PDF that was saved from the window.
    section
        The section it is of, or another one: an ``.h5ad`` file or an output folder of Space
        Ranger.
    reference
        Single cells or a signature table; None for the file of the name in the recipe, beside
        the figure or the section.
    cell_type
        Column of single cells with their types; None for that in the recipe.
    library
        Which section of the file, where it holds several.

    Returns
    -------
    matplotlib.figure.Figure
        To be written with `napari_smoother.figures.save_figure`.

    Raises
    ------
    InputError
        If the figure has no recipe, or section or reference cannot be used.

    Warns
    -----
    UserWarning
        Where this section lacks panels or parts of the figure.
    """
    text = recipe_text_of(figure)
    content = from_toml(text, str(figure))
    if reference is None and "deconvolution" in content.run.analyses:
        reference = _reference_beside(content.run.reference, Path(figure), Path(section))
    task = Task.alone(text, section, reference, cell_type, library)
    drawn = plan(studied(task, content)).compose()
    for remark in drawn.left_out:
        warnings.warn(remark, UserWarning, stacklevel=2)
    return drawn.figure


def _reference_beside(name: str | None, figure: Path, section: Path) -> Path | None:
    """Return the reference of a recipe, beside the figure or the section.

    Raises
    ------
    InputError
        If it has a name and is not there.
    """
    if name is None:
        return None
    for folder in (figure.parent, section.parent):
        if (folder / name).exists():
            return folder / name
    raise InputError(
        f"The reference {name} is neither beside the figure nor beside the section",
        where=str(figure),
        remedy="Give it as reference=",
    )
