"""Opening sections and references into a session, and saving what it found."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import request_values
from qtpy.QtWidgets import QInputDialog

from napari_smoother.errors import InputError
from napari_smoother.figures.colours import lookup_table
from napari_smoother.io.h5ad import SeveralLibraries, write_h5ad
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import label_columns, read_reference
from napari_smoother.keys import SMOOTHER
from napari_smoother.layers import tissue
from napari_smoother.layers.plain_text import as_text
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex, simulate_tumour
from napari_smoother.study.annotated import annotate, findings_of
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.widgets import files
from napari_smoother.widgets.notices import tell, tell_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_smoother.sample_data import Sample
    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session

TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")

FIRST_COLORMAP = "viridis"

SAMPLES: dict[str, Callable[[], Sample]] = {
    "layered cortex": simulate_cortex,
    "tumour": simulate_tumour,
}


def open_path(session: Session, path: Path, library: str | None = None) -> None:
    """Open a Space Ranger folder or an .h5ad file, asking which library where it holds several."""

    def use(found: Section | SeveralLibraries) -> None:
        if isinstance(found, SeveralLibraries):
            chosen = ask_for_library(path, found.libraries)
            if chosen is not None:
                open_path(session, path, chosen)
        else:
            files.note_opened(path)
            session.study.open(found, beside=True)

    session.load(partial(_section_in, path, library), use, f"opening {path.name}")


def _section_in(
    path: Path, library: str | None, cancelled: Callable[[], bool]
) -> Section | SeveralLibraries:
    try:
        section = open_section(path, library=library, cancelled=cancelled)
    except SeveralLibraries as several:
        return several
    # What the first picture needs, found here and not while the window waits.
    tissue.spot_diameter(section)
    lookup_table(FIRST_COLORMAP)
    return section


def choose_counts(session: Session, counts: str) -> None:
    """Read the open section again with counts from another matrix; its regions stay."""
    study = session.study
    section = study.section
    if section is None or section.source is None:
        return
    source, library = section.source, section.library

    session.load(
        lambda cancelled: open_section(
            source, library=library, counts=counts, cancelled=cancelled
        ),
        lambda found: study.open(found, SessionRecord(study.recipe)),
        f"reading {counts} of {source.name}",
    )


def choose_reference_counts(session: Session, counts: str) -> None:
    """Read the reference again with counts from another matrix."""
    reference = session.study.reference
    if reference is None or reference.source is None:
        return
    source, cell_type = reference.source, reference.cell_type
    session.load(
        lambda cancelled: read_reference(source, cell_type, counts=counts),
        session.study.set_reference,
        f"reading {counts} of {source.name}",
    )


def ask_for_library(path: Path, libraries: tuple[str, ...]) -> str | None:
    """Ask which of several sections in a file to open; None when the user thinks better of it."""
    chosen, agreed = QInputDialog.getItem(
        None, path.name, "This file holds several sections. Open", list(libraries), 0, False
    )
    return chosen if agreed else None


def open_sample(session: Session, name: str) -> None:
    """Simulate a section and open it with its reference."""

    def use(found: tuple[Section, Reference]) -> None:
        section, reference = found
        session.study.open(section, beside=True)
        session.study.set_reference(reference)

    session.load(lambda cancelled: simulated(name), use, f"simulating {name}")


def simulated(name: str) -> tuple[Section, Reference]:
    """Simulate a section and its reference."""
    sample = SAMPLES[name]()
    cells = Reference.from_cells(sample.reference, "cell_type", f"simulated cells of {name}")
    return sample.section, cells


def open_reference(session: Session, path: Path, cell_type: str | None = None) -> None:
    """Read single cells or a signature table, and look for their types in the open section.

    The section may be read at the moment: files are read in turn.
    """
    study = session.study

    def is_ready(is_coming: bool) -> bool:
        if study.section is None and not is_coming:
            problem = "There is no section to look for its cell types in"
            tell_error(InputError(problem, where=str(path), remedy="Drop or open a section first"))
            return False
        return True

    def use(reference: Reference) -> None:
        if is_ready(is_coming=False):
            study.set_reference(reference)

    if is_ready(is_coming=session.is_loading):
        session.load(
            lambda cancelled: read_reference(path, cell_type), use, f"reading {path.name}"
        )


def ask_and_open_reference(session: Session, path: Path) -> None:
    """Open a reference, asking for the column of cell types where several may hold it."""
    try:
        column = ask_for_cell_type(path)
    except InputError as error:
        tell_error(error)
        return
    if column != "":
        open_reference(session, path, column)


def ask_for_cell_type(path: Path) -> str | None:
    """Ask which obs column of single cells holds the type.

    Returns
    -------
    str or None
        The column; None where there is nothing to choose from, and "" when the user thinks
        better of it.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if path.suffix.lower() != ".h5ad":
        return None
    columns = [column for column in label_columns(path) if not column.fault]
    if len(columns) < 2:
        return columns[0].name if columns and columns[0].rank is not None else None
    # Those that look like it come first.
    choices = [(f"{column.name} ({column.levels:,} levels)", column.name) for column in columns]
    column = {
        "label": "Column that holds the cell type",
        "widget_type": "ComboBox",
        "options": {"choices": choices},
    }
    answer = request_values({"column": column}, title=as_text(path.name))
    return "" if answer is None else str(answer["column"])


def proposed_path(section: Section) -> Path:
    """Return where results of a section are best saved: in its own file, if that has some."""
    source = section.source
    if source is None:
        return Path(f"{_as_file_name(section.name)}_smoother.h5ad")
    if source.suffix.lower() == ".h5ad":
        ours = section.library is None and SMOOTHER in section.adata.uns
        return source if ours else source.with_name(f"{source.stem}_smoother.h5ad")
    return source.parent / f"{source.name}_smoother.h5ad"


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "section"


def ask_where_to_save(session: Session, parent: QWidget | None) -> Path | None:
    """Ask where to save the section in front, and begin to; None when thought better of."""
    section = session.study.section
    if section is None:
        return None
    answer = files.ask_where_to_save(
        parent, "Save results", proposed_path(section), "AnnData (*.h5ad)"
    )
    if answer is None:
        return None
    save_results(session, answer[0])
    return answer[0]


def save_results(session: Session, path: Path) -> None:
    """Write section, recipe and results to an .h5ad file, beside the window."""
    if path.suffix.lower() != ".h5ad":
        path = path.with_name(path.name + ".h5ad")
    study = session.study
    try:
        findings = findings_of(study)
    except InputError as error:
        tell_error(error)
        return

    def use(nothing: None) -> None:
        study.note_saved(findings.section, findings.session.recipe, findings.results)
        _tell_saved(path, nothing)

    session.load(
        lambda cancelled: write_h5ad(annotate(findings), path), use, f"saving {path.name}"
    )


def _tell_saved(path: Path, nothing: None) -> None:
    tell(f"Saved {path}")


def describe(section: Section | None) -> str:
    """Return what is known of a section, in a few lines."""
    if section is None:
        return ""
    lines = [f"{section.n_spots:,} spots × {section.adata.n_vars:,} genes"]
    if section.images:
        rows, columns = section.images[0].pixels.shape[:2]
        names = ", ".join(image.name for image in section.images)
        lines.append(f"image: {names} ({columns} × {rows} pixels)")
    else:
        lines.append("no image")
    lines.append(section.origin.describe())
    if section.micrometres_per_pixel is None:
        lines.append("scale unknown: distances are in pixels")
    else:
        lines.append(f"{section.micrometres_per_pixel:.3g} µm per full-resolution pixel")
        if section.spot_diameter is not None:
            size = section.spot_diameter * section.micrometres_per_pixel
            lines[-1] += f", spots of {size:.0f} µm"
    if section.source is not None:
        lines.append(str(section.source))
    return "\n".join(lines)
