"""Saving the figure of a session: from any page, with a name that is ready to be taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_smoother.errors import InputError
from napari_smoother.figures.save import save_figure
from napari_smoother.printing.plan import plan
from napari_smoother.widgets import files, opening
from napari_smoother.widgets.notices import tell, tell_error, tell_warning
from napari_smoother.widgets.recipes import figure_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_smoother.analyses.context import Context
    from napari_smoother.printing.plan import Drawn, FigurePlan
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

SHORTCUT = "Ctrl+Shift+F"
KINDS = {
    ".pdf": "PDF, vectors (*.pdf)",
    ".svg": "SVG, vectors (*.svg)",
    ".png": "PNG, pixels (*.png)",
    ".tiff": "TIFF, pixels, LZW (*.tiff *.tif)",
}
LOOK_EVERY = 50
"""Milliseconds between two looks whether all that is computed has come to rest."""


def take_plan(session: Session) -> FigurePlan:
    """Return what the figure of a session needs, as it is now.

    Raises
    ------
    InputError
        If no section is open, or no panel is ticked.
    """
    study = session.study
    if study.section is not None and not study.recipe.figure.contents:
        raise InputError("No panel is ticked", where="figure", remedy="Tick at least one")
    return plan(study, painted=session.scene.painted)


def ask_and_save(session: Session, parent: QWidget | None) -> None:
    """Ask where to save the figure, and write it; Enter takes the name that is proposed."""
    section = session.study.section
    if section is None:
        tell_error(
            InputError("There is nothing to print", where="figure", remedy="Open a section first")
        )
        return
    last = str(files.settings().value("figure/ending", ".pdf"))
    last = last if last in KINDS else ".pdf"
    kinds = ";;".join([KINDS[last], *(kind for ending, kind in KINDS.items() if ending != last)])
    answer = files.ask_where_to_save(parent, "Save figure", proposed_figure(section, last), kinds)
    if answer is None:
        return
    path, kind = answer
    if not path.suffix:
        path = path.with_suffix(next(e for e, known in KINDS.items() if known == kind))
    files.settings().setValue("figure/ending", ".tiff" if path.suffix == ".tif" else path.suffix)
    save(session, path)


def proposed_figure(section: Section, ending: str) -> Path:
    """Return a free name for the figure of a section, beside its file."""
    beside = opening.proposed_path(section)
    stem = beside.stem.removesuffix("_smoother")
    number, path = 1, beside.with_name(f"{stem}_figure{ending}")
    while path.exists():
        number += 1
        path = beside.with_name(f"{stem}_figure_{number}{ending}")
    return path


def save(session: Session, path: Path) -> None:
    """Write the figure once all that is computed has come to rest; the ending is the format."""
    if all(analysis.is_at_rest for analysis in session.analyses.values()):
        _write(session, path)
        return
    tell(f"{path.name} is written when the computation that is under way has ended")
    timer = QTimer(session)

    def look() -> None:
        if session.is_closed:
            timer.stop()
        elif all(analysis.is_at_rest for analysis in session.analyses.values()):
            timer.stop()
            timer.deleteLater()
            _write(session, path)

    timer.timeout.connect(look)
    timer.start(LOOK_EVERY)


def _write(session: Session, path: Path) -> None:
    study = session.study
    try:
        planned = take_plan(session)
        recipe = figure_recipe(study)
    except InputError as error:
        tell_error(error)
        return
    settings, name = planned.settings, planned.source.section.name
    composition = study.composition_analysis
    if study.composition is not None and not composition.is_up_to_date:
        tell_warning(
            "The composition in the figure belongs to other settings than those of the recipe in "
            "the file: let it be computed to its end, and save again"
        )

    def work(context: Context) -> Drawn:
        drawn = planned.compose(context)
        save_figure(
            drawn.figure, path, dpi=settings.dpi, title=name, recipe=recipe, context=context
        )
        return drawn

    def use(drawn: Drawn) -> None:
        vectors = path.suffix.lower() in (".pdf", ".svg")
        tell(f"Saved {path}" + (f". {picture_remark(drawn, settings.dpi)}" if vectors else ""))
        if drawn.left_out:
            tell_warning(drawn.remark)

    session.load_telling(work, use, f"saving {path.name}")


def picture_remark(drawn: Drawn, dpi: int) -> str:
    """Return how vector files hold the spots, where not as shapes."""
    if not drawn.as_picture:
        return ""
    return (
        f"SVG and PDF hold the {drawn.n_spots:,} spots as a picture of {dpi} dpi, "
        "text and outlines as shapes"
    )
