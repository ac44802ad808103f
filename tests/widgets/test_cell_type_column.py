"""The column of cell types: asked for in the window, candidates first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from magicgui.widgets import ComboBox, Dialog

from napari_smoother.widgets import opening
from napari_smoother.widgets.deconvolve_page import DeconvolvePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
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
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ComboBox]:
    """Answer every dialog with its last column, and return the lists that were shown."""
    shown: list[ComboBox] = []

    def answer(dialog: Dialog) -> bool:
        columns = dialog["column"]
        shown.append(columns)
        columns.value = columns.choices[-1]
        return True

    monkeypatch.setattr(Dialog, "exec", answer)
    return shown


def test_any_column_can_be_chosen(
    session: Session,
    dock: SmootherDock,
    sample: Sample,
    settle: Callable[[Session], None],
    cells: Callable[..., Path],
    asked: list[ComboBox],
) -> None:
    n_cells = sample.reference.n_obs
    path = cells(
        seurat_clusters=(np.arange(n_cells) % 4).astype(np.int32),
        barcode=[f"b{k}" for k in range(n_cells)],
        batch=np.arange(n_cells) % 3,
    )
    session.study.open(sample.section)
    page = dock.turn_to(DeconvolvePage)
    opening.ask_and_open_reference(page.session, path)
    settle(session)
    (columns,) = asked
    n_types = sample.reference.obs["cell_type"].nunique()
    combo = columns.native
    assert [combo.itemText(row) for row in range(combo.count())] == [
        f"cell_type ({n_types} levels)",
        "seurat_clusters (4 levels)",
        "batch (3 levels)",
    ]
    assert session.study.reference is not None
    assert session.study.reference.types == ("0", "1", "2")


def test_a_single_column_is_not_asked_about(
    session: Session, cells: Callable[..., Path], asked: list[ComboBox]
) -> None:
    assert opening.ask_for_cell_type(cells()) == "cell_type"
    assert opening.ask_for_cell_type(cells(assay="10x", version=3)) == "cell_type"
    assert asked == []


def test_thinking_better_of_it_opens_nothing(
    session: Session, sample: Sample, cells: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dialog, "exec", lambda dialog: False)
    path = cells(seurat_clusters=np.arange(sample.reference.n_obs) % 4)
    assert opening.ask_for_cell_type(path) == ""
