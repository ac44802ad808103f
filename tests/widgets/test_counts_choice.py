"""Where counts come from is said, and can be chosen, in the real window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.widgets import opening
from napari_smoother.widgets.data_page import DataPage
from napari_smoother.widgets.deconvolve_page import DeconvolvePage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


def test_counts_are_read_from_where_one_chooses(
    session: Session, dock: SmootherDock, sample: Sample, tmp_path: Path, settle: Settle
) -> None:
    adata = sample.section.adata.copy()
    adata.layers["half"] = (adata.X / 2).floor()
    adata.write_h5ad(tmp_path / "section.h5ad")
    opening.open_path(session, tmp_path / "section.h5ad")
    settle(session)
    page = dock.turn_to(DataPage)
    assert page.counts.isVisible()
    assert page.counts.currentText() == "X"
    assert "counts from X" in page.facts.text()
    centre = session.study.section.positions.mean(axis=0)
    corners = centre + np.array([[-400, -400], [400, -400], [400, 400], [-400, 400]])
    regions = session.study.regions.with_class(RegionClass("kept", (1.0, 0.0, 0.0)))
    session.study.regions = regions.with_shapes([RegionShape("kept", corners)])
    inside = session.study.region_sizes[0]
    assert inside > 0

    page.counts.textActivated.emit('layers["half"]')
    settle(session)
    section = session.study.section
    assert section.origin.place == 'layers["half"]'
    assert (adata.layers["half"] != section.adata.X).nnz == 0
    assert page.counts.currentText() == 'layers["half"]'
    assert session.study.region_sizes[0] == inside


def test_the_consequence_of_having_no_counts_stands_beside_the_result(
    session: Session,
    dock: SmootherDock,
    sample: Sample,
    tmp_path: Path,
    settle: Settle,
    told: list[str],
) -> None:
    cells = sample.reference.copy()
    cells.layers["counts"] = cells.X.copy()
    cells.X = cells.X.toarray() * np.random.default_rng(0).uniform(20, 30, cells.shape)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    session.study.open(sample.section)
    opening.open_reference(session, tmp_path / "cells.h5ad", "cell_type")
    settle(session)
    page = dock.turn_to(DeconvolvePage)
    assert session.study.reference.origin.describe() == 'counts from layers["counts"]'
    assert not page.consequence.isVisible()
    page.counts.textActivated.emit("X")
    settle(session)
    assert session.study.reference.origin.kind == "normalised"
    assert any("holds no whole-number counts" in each for each in told)
    assert page.consequence.isVisible()
    assert "models of counts and totals of cells need the raw counts" in page.consequence.text()
