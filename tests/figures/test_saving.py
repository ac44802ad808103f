"""Files hold what they should, whole, and the same bytes each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zlib
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest
from PIL import Image

from napari_smoother.errors import InputError
from napari_smoother.figures import save_figure, spatial_figure, spatial_grid
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.section import Section, SectionImage

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def section() -> Section:
    return simulate_cortex(rows=24, n_genes=60, image_size=500).section


def draw(section: Section) -> Figure:
    regions = section.adata.obs["region"]
    return spatial_figure(section, regions, quantity="Layer", title="Cortex & white matter")


def test_svg_keeps_text_as_text_and_a_path_for_every_spot(
    section: Section, tmp_path: Path
) -> None:
    tree = ElementTree.parse(save_figure(draw(section), tmp_path / "figure.svg"))
    texts = {"".join(text.itertext()).strip() for text in tree.iter(f"{SVG}text")}
    assert {"Cortex & white matter", "Layer", "L1", "L2/3", "L4", "L5", "L6", "WM"} <= texts
    assert any(re.fullmatch(r"\d+ (µm|mm)", text) for text in texts)
    (spots,) = (group for group in tree.iter(f"{SVG}g") if group.get("id") == "spots-0")
    shapes = list(spots.iter(f"{SVG}use"))
    assert len(shapes) == section.n_spots
    fills = {re.search(r"fill: (#\w+)", shape.get("style", ""))[1] for shape in shapes}
    assert len(fills) == 6
    assert len(list(tree.iter(f"{SVG}image"))) == 1


def test_svg_spots_lie_where_they_should(section: Section, tmp_path: Path) -> None:
    figure = draw(section)
    tree = ElementTree.parse(save_figure(figure, tmp_path / "figure.svg"))
    (spots,) = (group for group in tree.iter(f"{SVG}g") if group.get("id") == "spots-0")
    drawn = np.array([(float(u.get("x")), float(u.get("y"))) for u in spots.iter(f"{SVG}use")])
    # From full-resolution pixels to points is one factor and a shift, y pointing down in both.
    found = drawn - drawn.mean(axis=0)
    truth = section.positions - section.positions.mean(axis=0)
    factor = (found * truth).sum() / (truth**2).sum()
    assert factor > 0
    np.testing.assert_allclose(found, factor * truth, atol=1e-3)


def pdf_streams(data: bytes) -> list[bytes]:
    streams = []
    for match in re.finditer(rb"stream\r?\n", data):
        try:
            streams.append(zlib.decompressobj().decompress(data[match.end() :]))
        except zlib.error:
            continue
    return streams


def test_pdf_embeds_its_font_and_draws_every_spot(section: Section, tmp_path: Path) -> None:
    data = save_figure(draw(section), tmp_path / "figure.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data
    assert len(re.findall(rb"/Subtype /Image", data)) == 1
    page = max(pdf_streams(data), key=lambda stream: stream.count(b" Do"))
    circles = len(re.findall(rb"/P\d+ Do", page)) + len(re.findall(rb"/M\d+ Do", page))
    assert circles >= section.n_spots
    assert b"BT" in page


def test_png_has_the_size_asked_for(section: Section, tmp_path: Path) -> None:
    figure = draw(section)
    for dpi in (100, 300):
        with Image.open(save_figure(figure, tmp_path / "figure.png", dpi=dpi)) as picture:
            assert picture.width == pytest.approx(85 / 25.4 * dpi, abs=1)
            assert picture.info["dpi"][0] == pytest.approx(dpi, rel=1e-3)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_same_figure_gives_the_same_bytes(
    section: Section, tmp_path: Path, ending: str
) -> None:
    one = save_figure(draw(section), tmp_path / f"one.{ending}").read_bytes()
    again = save_figure(draw(section), tmp_path / f"again.{ending}").read_bytes()
    assert one == again
    assert b"CreationDate" not in one
    assert b"dc:date" not in one


def test_settings_of_the_caller_do_not_change_the_figure(section: Section, tmp_path: Path) -> None:
    import matplotlib as mpl

    values = section.positions[:, 0]

    def save(name: str) -> bytes:
        figure = spatial_figure(section, values, quantity="x", title="$T$")
        return save_figure(figure, tmp_path / name, dpi=100).read_bytes()

    plain = save("plain.png")
    odd = {
        "image.origin": "lower",
        "image.interpolation": "nearest",
        "savefig.bbox": "tight",
        "savefig.transparent": True,
        "figure.constrained_layout.use": True,
        "font.family": "monospace",
        "lines.linestyle": ":",
        "text.color": "red",
        "axes.facecolor": "black",
    }
    with mpl.rc_context(odd):
        assert save("odd.png") == plain


def test_names_in_an_svg_are_unique(section: Section, tmp_path: Path) -> None:
    values = {"a": section.positions[:, 0], "b": section.positions[:, 1]}
    path = save_figure(spatial_grid(section, values, quantity="x"), tmp_path / "figure.svg")
    names = [item.get("id") for item in ElementTree.parse(path).iter() if item.get("id")]
    assert len(names) == len(set(names))


def test_endings_may_be_in_capitals(section: Section, tmp_path: Path) -> None:
    path = save_figure(draw(section), tmp_path / "figure.PNG", dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "dpi", "where"),
    [
        ("figure.docx", 300, "figure.docx"),
        ("figure", 300, "figure"),
        ("missing/figure.png", 300, "missing"),
        ("figure.png", 0, "dpi"),
        ("figure.png", float("nan"), "dpi"),
    ],
)
def test_what_cannot_be_written_is_refused(
    section: Section, tmp_path: Path, name: str, dpi: float, where: str
) -> None:
    with pytest.raises(InputError) as refused:
        save_figure(draw(section), tmp_path / name, dpi=dpi)
    assert where in refused.value.where
    assert list(tmp_path.iterdir()) == []


def test_a_name_taken_by_a_folder_is_refused_and_nothing_is_left(
    section: Section, tmp_path: Path
) -> None:
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(InputError, match="in the way"):
        save_figure(draw(section), tmp_path / "figure.png", dpi=50)
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("name", ["\udc80", "a\0b", "<b>&\"'", "$\\frac{", "日本"])
@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_any_name_can_be_drawn(section: Section, tmp_path: Path, ending: str, name: str) -> None:
    values = np.arange(section.n_spots, dtype=float)
    figure = spatial_figure(section, values, quantity=name)
    assert save_figure(figure, tmp_path / f"figure.{ending}", dpi=20).stat().st_size > 1000


def test_an_interrupted_write_leaves_the_older_file(section: Section, tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    path.write_text("older")
    figure = draw(section)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    figure.draw = fail
    with pytest.raises(KeyboardInterrupt):
        save_figure(figure, path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_settings_of_the_caller_are_left_alone(section: Section, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    save_figure(draw(section), tmp_path / "figure.svg")
    assert dict(mpl.rcParams) == before


def test_a_true_section_is_drawn_with_its_layers(tissue: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(tissue / "visium_dlpfc_151673" / "visium_dlpfc_151673.h5ad")
    (library,) = adata.uns["spatial"].values()
    factors = library["scalefactors"]
    image = SectionImage("lowres", library["images"]["lowres"], factors["tissue_lowres_scalef"])
    diameter = factors["spot_diameter_fullres"]
    section = Section("151673", adata, (image,), diameter, 55 / diameter)
    layers = adata.obs["layer"].astype(str).replace("NA", None)
    figure = spatial_figure(section, layers, quantity="Layer")
    tree = ElementTree.parse(save_figure(figure, tmp_path / "layers.svg"))
    texts = {"".join(text.itertext()).strip() for text in tree.iter(f"{SVG}text")}
    assert {"Layer1", "Layer6", "WM", "no value", "1 mm"} <= texts
    (spots,) = (group for group in tree.iter(f"{SVG}g") if group.get("id") == "spots-0")
    assert len(list(spots.iter(f"{SVG}use"))) == 3639
    genes = {
        gene: adata.X[:, place].toarray().ravel() for place, gene in enumerate(adata.var_names[:2])
    }
    grid = spatial_grid(section, genes, quantity="Counts")
    assert save_figure(grid, tmp_path / "genes.pdf").stat().st_size > 50_000
