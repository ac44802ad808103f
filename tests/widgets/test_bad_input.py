"""Bad input is told, by file or field and with a remedy, and what was open stays open."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from napari_smoother.layers.tissue import SPOTS
from napari_smoother.widgets import opening
from napari_smoother.widgets.deconvolve_page import DeconvolvePage
from napari_smoother.widgets.graph_page import GraphPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.dock import SmootherDock
    from napari_smoother.widgets.session import Session

    Settle = Callable[[Session], None]


@pytest.fixture
def busy_desk(solved: Session, dock: SmootherDock) -> Session:
    """Return a session with a section, a reference and a composition open."""
    dock.turn_to(DeconvolvePage)
    return solved


def still_usable(session: Session, settle: Settle) -> None:
    """Assert that what was open still answers to the sliders."""
    study = session.study
    before = study.composition
    assert before is not None
    assert session.scene.layer(SPOTS) is not None
    study.deconvolution = type(study.deconvolution)(rho=0.7)
    settle(session)
    assert study.composition is not None
    assert study.composition is not before
    assert study.composition.converged


def section_file(sample: Sample, path: Path, change: Callable[[anndata.AnnData], None]) -> Path:
    adata = sample.section.adata.copy()
    change(adata)
    adata.write_h5ad(path)
    return path


def negative(adata: anndata.AnnData) -> None:
    adata.X = adata.X.copy()
    adata.X.data[3] = -1.0


def lost(adata: anndata.AnnData) -> None:
    adata.obsm["spatial"] = adata.obsm["spatial"].astype(float)
    adata.obsm["spatial"][5, 0] = np.nan


def without_positions(adata: anndata.AnnData) -> None:
    del adata.obsm["spatial"]
    adata.obs = adata.obs[[]]


@pytest.mark.parametrize(
    ("change", "words"),
    [(negative, "negative"), (lost, "finite"), (without_positions, "position")],
)
def test_section_with_a_fault(
    busy_desk: Session,
    sample: Sample,
    settle: Settle,
    told: list[str],
    tmp_path: Path,
    change: Callable[[anndata.AnnData], None],
    words: str,
) -> None:
    path = section_file(sample, tmp_path / "faulty.h5ad", change)
    section = busy_desk.study.section
    opening.open_path(busy_desk, path)
    settle(busy_desk)
    assert busy_desk.study.section is section
    (message,) = [message for message in told if "faulty" in message]
    assert words in message
    still_usable(busy_desk, settle)


def test_empty_folder(busy_desk: Session, settle: Settle, told: list[str], tmp_path: Path) -> None:
    empty = tmp_path / "nothing_here"
    empty.mkdir()
    opening.open_path(busy_desk, empty)
    settle(busy_desk)
    assert any("nothing_here" in message for message in told)
    still_usable(busy_desk, settle)


def test_truncated_h5ad(
    busy_desk: Session, sample: Sample, settle: Settle, told: list[str], tmp_path: Path
) -> None:
    path = section_file(sample, tmp_path / "cut_short.h5ad", lambda adata: None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    opening.open_path(busy_desk, path)
    settle(busy_desk)
    assert any("cut_short" in message for message in told)
    still_usable(busy_desk, settle)


@pytest.mark.tissue
def test_space_ranger_folder_with_faults(
    busy_desk: Session, settle: Settle, told: list[str], tissue: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "heart"
    shutil.copytree(tissue / "visium_human_heart_tiny", folder, copy_function=shutil.copyfile)
    section = busy_desk.study.section

    positions = folder / "spatial" / "tissue_positions_list.csv"
    whole = positions.read_text()
    positions.write_text("\n".join("X" + line for line in whole.splitlines()))
    opening.open_path(busy_desk, folder)
    settle(busy_desk)
    assert busy_desk.study.section is section
    assert any("barcode" in message for message in told)

    told.clear()
    positions.write_text(whole)
    matrix = folder / "filtered_feature_bc_matrix.h5"
    content = matrix.read_bytes()
    matrix.write_bytes(content[:5000])
    opening.open_path(busy_desk, folder)
    settle(busy_desk)
    assert busy_desk.study.section is section
    assert any("filtered_feature_bc_matrix.h5" in message for message in told)
    still_usable(busy_desk, settle)

    told.clear()
    matrix.write_bytes(content)
    (folder / "spatial" / "scalefactors_json.json").write_text("{}")
    opening.open_path(busy_desk, folder)
    settle(busy_desk)
    assert busy_desk.study.section is not None
    assert busy_desk.study.section.n_spots == 100
    assert any("scale" in message for message in told), "opened without saying what is missing"


def test_reference_without_shared_genes(
    busy_desk: Session, settle: Settle, told: list[str], tmp_path: Path
) -> None:
    reference = busy_desk.study.reference
    genes = [f"ENSG{number:011d}" for number in range(60)]
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.random((60, 3)), index=genes, columns=["T", "B", "NK"]).to_csv(
        tmp_path / "elsewhere.csv"
    )
    opening.open_reference(busy_desk, tmp_path / "elsewhere.csv")
    settle(busy_desk)
    assert busy_desk.study.reference is reference
    (message,) = [message for message in told if "ENSG00000000000" in message]
    assert busy_desk.study.section.adata.var_names[0] in message
    still_usable(busy_desk, settle)


def test_spots_and_genes_without_counts(
    session: Session, sample: Sample, settle: Settle, tmp_path: Path
) -> None:
    def empty(adata: anndata.AnnData) -> None:
        counts = adata.X.tolil()
        counts[4, :] = 0
        counts[:, 7] = 0
        adata.X = counts.tocsr()

    opening.open_path(session, section_file(sample, tmp_path / "sparse.h5ad", empty))
    settle(session)
    sample.reference.write_h5ad(tmp_path / "cells.h5ad")
    opening.open_reference(session, tmp_path / "cells.h5ad")
    settle(session)
    composition = session.study.composition
    assert composition is not None
    assert composition.converged
    assert np.isnan(composition.proportions[4]).all()
    assert np.isfinite(np.delete(composition.proportions, 4, axis=0)).all()
    assert session.scene.key is not None
    assert session.scene.key.missing


def test_several_libraries_are_asked_about(
    session: Session,
    sample: Sample,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def two(adata: anndata.AnnData) -> None:
        half = adata.n_obs // 2
        adata.obs["library_id"] = ["left"] * half + ["right"] * (adata.n_obs - half)
        adata.uns["spatial"] = {
            name: {"images": {}, "scalefactors": {"spot_diameter_fullres": 80.0}}
            for name in ("left", "right")
        }

    path = section_file(sample, tmp_path / "two.h5ad", two)
    asked = []

    def choose(path: Path, libraries: tuple[str, ...]) -> str | None:
        asked.append(libraries)
        return None if len(asked) == 1 else "right"

    monkeypatch.setattr(opening, "ask_for_library", choose)
    opening.open_path(session, path)
    settle(session)
    assert session.study.section is None, "opened although nothing was chosen"
    opening.open_path(session, path)
    settle(session)
    assert asked == [("left", "right")] * 2
    section = session.study.section
    assert section is not None
    assert set(section.adata.obs["library_id"]) == {"right"}


def test_saving_where_one_cannot(
    busy_desk: Session, settle: Settle, told: list[str], tmp_path: Path
) -> None:
    opening.save_results(busy_desk, tmp_path / "no" / "such" / "folder" / "out.h5ad")
    settle(busy_desk)
    assert any("no such folder" in message for message in told)
    assert not any("Saved" in message for message in told)
    still_usable(busy_desk, settle)


def test_no_radius_of_zero_can_be_typed(busy_desk: Session, dock: SmootherDock) -> None:
    page = dock.turn_to(GraphPage)
    page.rule.setCurrentText("Radius")
    page.radius.setValue(0.0)
    assert page.radius.value() > 0
    assert busy_desk.study.graph_settings.radius == page.radius.value()
