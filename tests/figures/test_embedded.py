"""The recipe in the file of a figure: it comes back from every format, letter by letter."""

from __future__ import annotations

import codecs
import json
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.figure_settings import (
    DOMINANT_TYPE,
    FigureSettings,
    PanelSettings,
    Part,
)
from napari_smoother.analyses.plain import from_plain, to_plain
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, from_toml, to_toml
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.analyses.shown import Shown, View
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.figures import recipe_of_figure, save_figure, spatial_figure
from napari_smoother.figures.embedded import recipe_text_of
from napari_smoother.figures.save import rendered
from napari_smoother.sample_data import simulate_cortex

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

ENDINGS = ("png", "tiff", "tif", "svg", "pdf")
OUTLINE = RegionShape("µ (left) \\ right", np.array([[0.0, 0.5], [9, 0], [5, 7.25]]))
RECIPE = RecipeFile(
    Recipe(
        regions=Regions((RegionClass("µ (left) \\ right", (0.1, 0.2, 0.3)),), (OUTLINE,)),
        shown=Shown(stage="data", view=View("gene", "PCP4", low=2.5)),
        figure=FigureSettings(
            (DOMINANT_TYPE, '<b>&amp; "q"', "日本 / 2"),
            columns=2,
            width_mm=89.0,
            letters="A",
            limits="common",
            panels=(PanelSettings("日本 / 2", title="", low=-0.5),),
            crop=Part(region="µ (left) \\ right"),
            insets=(Part(box=(1.0, 2.0, 3.5, 4.0)),),
        ),
    ),
    RunSettings(reference="cells.h5ad", cell_type="type"),
)


@pytest.fixture(scope="module")
def figure() -> Figure:
    section = simulate_cortex(rows=24, n_genes=60, image_size=200).section
    return spatial_figure(section, section.positions[:, 0], quantity="x", title="t")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("recipe", [RECIPE, RecipeFile()], ids=["rich", "default"])
def test_a_recipe_comes_back_from_every_format(
    figure: Figure, tmp_path: Path, ending: str, recipe: RecipeFile
) -> None:
    path = tmp_path / f"figure.{ending}"
    save_figure(figure, path, dpi=50, title="Sektion µ", recipe=to_toml(recipe))
    assert recipe_text_of(path).strip() == to_toml(recipe).strip()
    assert recipe_of_figure(path) == recipe


def test_figure_settings_come_back_from_toml() -> None:
    assert from_toml(to_toml(RECIPE)) == RECIPE


def test_figure_settings_come_back_from_a_session() -> None:
    plain = json.loads(json.dumps(to_plain(RECIPE.recipe)))
    assert from_plain(Recipe, plain) == RECIPE.recipe


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_figure_without_a_recipe_says_so(figure: Figure, tmp_path: Path, ending: str) -> None:
    path = save_figure(figure, tmp_path / f"figure.{ending}", dpi=50)
    with pytest.raises(InputError, match="no recipe in this figure"):
        recipe_of_figure(path)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\0\0", b"<svg", b"II*\0", b"(x"])
def test_what_is_no_figure_is_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"figure.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        recipe_of_figure(path)
    assert refused.value.where == str(path)


def test_a_missing_file_and_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        recipe_of_figure(tmp_path / "missing.png")
    with pytest.raises(InputError, match="no figure"):
        recipe_of_figure(tmp_path / "text.docx")


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "compressed iTXt"])
def test_a_png_that_another_program_wrote_is_read(tmp_path: Path, kind: str) -> None:
    text = to_toml(RecipeFile()) if kind.endswith("TXt") and kind != "iTXt" else to_toml(RECIPE)
    text = text.encode("latin-1", "ignore").decode("latin-1") if kind in ("tEXt", "zTXt") else text
    about = PngImagePlugin.PngInfo()
    if kind.endswith("iTXt"):
        about.add_itxt("napari-smoother recipe", text, "en", "Rezept", zip="compressed" in kind)
    else:
        about.add_text("napari-smoother recipe", text, zip=kind == "zTXt")
    path = tmp_path / "figure.png"
    Image.new("RGB", (3, 2)).save(path, pnginfo=about)
    data = path.read_bytes()
    assert kind.split()[-1].encode() in data
    assert recipe_text_of(path) == text


def test_strings_of_a_pdf_are_read_as_the_standard_has_them(tmp_path: Path) -> None:
    path = tmp_path / "figure.pdf"
    head = b"# A recipe of napari-smoother "
    path.write_bytes(b"<< /Subject (" + head + rb"(a\)\050\n\\ b" + b"\\\nc) ) >>")
    assert recipe_text_of(path) == head.decode() + "(a)(\n\\ bc) "
    wide = codecs.BOM_UTF16_BE + (head.decode() + "λ").encode("utf-16-be")
    escaped = wide.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    path.write_bytes(b"/Subject(" + escaped + b")")
    assert recipe_text_of(path) == head.decode() + "λ"


def test_a_tiff_is_what_journals_ask_for(figure: Figure, tmp_path: Path) -> None:
    path = save_figure(figure, tmp_path / "figure.tiff", dpi=150, recipe=to_toml(RecipeFile()))
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        assert page.compression == tifffile.COMPRESSION.LZW
        assert page.photometric == tifffile.PHOTOMETRIC.RGB
        assert page.samplesperpixel == 3
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == 150
        assert page.tags["ResolutionUnit"].value == 2  # inches
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), rendered(figure, 150))


@pytest.mark.parametrize("dpi", [72, 110.5, 300])
def test_the_preview_is_the_file(figure: Figure, tmp_path: Path, dpi: float) -> None:
    path = save_figure(figure, tmp_path / "figure.png", dpi=dpi)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), rendered(figure, dpi))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cancelled_export_leaves_the_older_file(
    figure: Figure, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"figure.{ending}"
    path.write_text("older")
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        save_figure(figure, path, context=Context(cancelled))
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    told = []
    save_figure(figure, path, dpi=50, context=Context(tell=told.append))
    assert [progress.done for progress in told] == list(range(len(figure.axes)))
    assert {progress.total for progress in told} == {len(figure.axes)}


def test_a_part_without_extent_is_refused() -> None:
    for box in (None, (0.0, 0.0, 0.0, 5.0), (5.0, 0.0, 1.0, 5.0)):
        with pytest.raises(InputError, match="neither a region nor a rectangle"):
            Part(box=box)
    broken = to_toml(replace(RECIPE)).replace("box = [1.0, 2.0, 3.5, 4.0]", "box = [1.0, 2.0]")
    if broken != to_toml(RECIPE):
        with pytest.raises(InputError, match="a list of 4"):
            from_toml(broken)


def test_chunks_are_whole_in_a_png(figure: Figure, tmp_path: Path) -> None:
    path = save_figure(figure, tmp_path / "figure.png", dpi=50, recipe=to_toml(RECIPE))
    data, place = path.read_bytes(), 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        (check,) = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        assert zlib.crc32(body) == check
        place += 12 + length
