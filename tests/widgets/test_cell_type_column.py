"""The column of cell types: asked for in the window, candidates first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_smoother.widgets import opening
from napari_smoother.widgets.deconvolve_page import DeconvolvePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.opening import CellTypeDialog
    from napari_smoother.widgets.session import Session


@pytest.fixture
def cells(sample: Sample, tmp_path: Path) -> Callable[..., Path]:
    """Write the cells of the sample with columns of obs of their own."""

    def write(**columns: object) -> Path:
        adata = sample.reference.copy()
        adata.obs = adata.obs[["cell_type"]].assign(**columns)
        adata.write_h5ad(tmp_path / "cells.h5ad")
        return tmp_path / "cells.h5ad"

    return write


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CellTypeDialog]:
    """Answer every dialog with its last column, and return those that were shown."""
    shown: list[CellTypeDialog] = []

    def answer(dialog: CellTypeDialog) -> int:
        shown.append(dialog)
        dialog.columns.setCurrentIndex(dialog.columns.count() - 1)
        return 1

    monkeypatch.setattr(opening.CellTypeDialog, "exec", answer)
    return shown


def test_any_column_can_be_chosen(
    session: Session,
    dock: SmootherDock,
    sample: Sample,
    settle: Callable[[Session], None],
    cells: Callable[..., Path],
    asked: list[CellTypeDialog],
) -> None:
    n_cells = sample.reference.n_obs
    path = cells(
        seurat_clusters=(np.arange(n_cells) % 4).astype(np.int32),
        barcode=[f"b{k}" for k in range(n_cells)],
        batch=np.arange(n_cells) % 3,
    )
    session.study.open(sample.section)
    page = dock.turn_to(DeconvolvePage)
    page.open_reference(path)
    settle(session)
    (dialog,) = asked
    n_types = sample.reference.obs["cell_type"].nunique()
    combo = dialog.columns
    assert [combo.itemText(row) for row in range(combo.count())] == [
        f"cell_type ({n_types} levels)",
        "seurat_clusters (4 levels)",
        "",  # the separator
        "batch (3 levels)",
    ]
    assert session.study.reference is not None
    assert session.study.reference.types == ("0", "1", "2")


def test_a_single_column_is_not_asked_about(
    session: Session, cells: Callable[..., Path], asked: list[CellTypeDialog]
) -> None:
    assert opening.ask_for_cell_type(cells()) == "cell_type"
    assert opening.ask_for_cell_type(cells(assay="10x", version=3)) == "cell_type"
    assert asked == []
