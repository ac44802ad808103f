"""Letters, shared keys, parts of a section, insets, pale classes and many spots."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.text import Text

from napari_smoother.errors import InputError
from napari_smoother.figures import (
    ClassKey,
    EdgeOverlay,
    NumberKey,
    Panel,
    RegionOutline,
    compose_figure,
    save_figure,
)
from napari_smoother.figures.pale import LEAST_CONTRAST, edge_colours, luminance
from napari_smoother.figures.save import rendered
from napari_smoother.section import Section

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

SVG = "{http://www.w3.org/2000/svg}"
YELLOW, BLUE = (0.94, 0.89, 0.26, 1.0), (0.0, 0.45, 0.7, 1.0)
BAR = NumberKey("proportion", 0.0, 1.0, "viridis")
CLASSES = ClassKey("type", (("yellow", YELLOW), ("blue", BLUE)))


@pytest.fixture(scope="module")
def section() -> Section:
    x, y = np.meshgrid(np.arange(0, 1200, 40.0), np.arange(0, 800, 40.0))
    positions = np.column_stack([x.ravel(), y.ravel()])
    adata = anndata.AnnData(np.ones((len(positions), 1), np.float32))
    adata.obsm["spatial"] = positions
    return Section("made by hand", adata, (), 20.0, 0.5)


def panel(section: Section, title: str = "", key=BAR, colour=BLUE) -> Panel:
    return Panel(title, np.tile(colour, (section.n_spots, 1)), key)


def axes_of(figure: Figure, label: str):
    return next(axes for axes in figure.axes if axes.get_label() == label)


def words(figure: Figure) -> list[str]:
    return [item.get_text() for item in figure.findobj(Text) if item.get_text()]


def spots_of(figure: Figure, label: str = "panel 0") -> EllipseCollection:
    (spots,) = (c for c in axes_of(figure, label).collections if isinstance(c, EllipseCollection))
    return spots


@pytest.mark.parametrize(("kind", "expected"), [("a", ["a", "b", "c"]), ("A", ["A", "B", "C"])])
def test_letters_are_bold_of_their_size_and_in_front_of_titles(
    section: Section, kind: str, expected: list[str]
) -> None:
    panels = [panel(section, title) for title in ("first", "", "third")]
    figure = compose_figure(section, panels, letters=kind, letter_size=9.5, font_size=6)
    found = [axes.texts[0] for axes in figure.axes if axes.get_label().startswith("title")]
    assert [text.get_text() for text in found] == expected
    assert {text.get_fontsize() for text in found} == {9.5}
    assert {text.get_fontweight() for text in found} == {"bold"}
    first = axes_of(figure, "title 0").texts
    figure.canvas.draw()
    ends, begins = first[0].get_window_extent().x1, first[1].get_window_extent().x0
    assert begins > ends
    assert {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()} == {6, 9.5}


def test_one_panel_has_no_letter_and_many_go_on_behind_z(section: Section) -> None:
    assert "a" not in words(compose_figure(section, [panel(section)], letters="a"))
    many = compose_figure(section, [panel(section)] * 28, letters="a", columns=7, width_mm=300)
    assert {"z", "aa", "ab"} <= set(words(many))


def test_all_panels_of_one_key_share_it_at_the_right(section: Section) -> None:
    figure = compose_figure(section, [panel(section, t) for t in "wxyz"], columns=2)
    assert words(figure).count("proportion") == 1
    key = axes_of(figure, "key proportion").get_position()
    assert all(
        key.x0 > axes_of(figure, f"panel {number}").get_position().x1 for number in range(4)
    )


def test_a_long_shared_legend_goes_below_all_panels(section: Section) -> None:
    names = tuple((f"A type with a very long name, number {k}", BLUE) for k in range(24))
    shared = ClassKey("dominant type", names)
    figure = compose_figure(section, [panel(section, t, shared) for t in "xy"], width_mm=89)
    assert words(figure).count("dominant type") == 1
    key = axes_of(figure, "key dominant type").get_position()
    assert key.y1 < min(axes_of(figure, f"panel {n}").get_position().y0 for n in (0, 1))


def test_a_key_that_some_panels_share_names_them(section: Section) -> None:
    panels = [panel(section, "t", CLASSES), panel(section, "u"), panel(section, "v")]
    figure = compose_figure(section, panels, letters="a", columns=3)
    assert "proportion (b, c)" in " ".join(words(figure)).replace("\n", " ")
    assert words(figure).count("type") == 1
    plain = compose_figure(section, panels, columns=3)
    assert "proportion" in words(plain)


def test_a_part_is_drawn_to_scale_without_what_is_beside(section: Section) -> None:
    view = (200.0, 500.0, 100.0, 400.0)
    figure = compose_figure(section, [panel(section)], view=view, width_mm=100)
    axes = axes_of(figure, "panel 0")
    assert axes.get_xlim() == (200, 500)
    assert axes.get_ylim() == (400, 100)
    drawn = spots_of(figure).get_offsets()
    inside = ((section.positions > [190, 90]) & (section.positions < [510, 410])).all(axis=1)
    np.testing.assert_array_equal(drawn, section.positions[inside])
    shape = axes.get_position()
    width, height = figure.get_size_inches()
    assert shape.height * height == pytest.approx(shape.width * width)
    with pytest.raises(InputError, match="no width or no height"):
        compose_figure(section, [panel(section)], view=(5.0, 5.0, 0.0, 1.0))


def test_insets_show_their_part_in_a_frame_with_a_bar_of_its_own(section: Section) -> None:
    insets = [(100.0, 300.0, 100.0, 200.0), (600.0, 700.0, 300.0, 400.0)]
    outline = RegionOutline("r", np.array([[90.0, 90], [310, 90], [310, 210]]), BLUE)
    figure = compose_figure(
        section, [panel(section, t) for t in "xy"], insets=insets, outlines=[outline], columns=2
    )
    for number in (0, 1):
        whole = axes_of(figure, f"panel {number}")
        for place, (left, right, top, bottom) in enumerate(insets):
            part = axes_of(figure, f"inset {place} of panel {number}")
            assert (*part.get_xlim(), *part.get_ylim()[::-1]) == (left, right, top, bottom)
            assert part.get_position().y1 < whole.get_position().y0
            magnified = part.get_position().width / (right - left)
            assert magnified > 1.5 * whole.get_position().width / np.ptp(whole.get_xlim())
            frames = figure.findobj(
                lambda a, n=number, p=place: (a.get_gid() or "").startswith(f"frame-{n}-{p}-")
            )
            assert {frame.get_bbox().bounds for frame in frames} == {
                (left, top, right - left, bottom - top)
            }
        heights = {
            axes_of(figure, f"inset {p} of panel {number}").get_position().height for p in (0, 1)
        }
        assert len({round(height, 9) for height in heights}) == 1
    bars = figure.findobj(lambda a: (a.get_gid() or "").startswith("scale-bar"))
    assert [bar.get_gid() for bar in bars] == ["scale-bar", "scale-bar-0", "scale-bar-1"]
    for bar, (left, right, *_) in zip(bars[1:], insets, strict=True):
        text = bar.axes.texts[-1].get_text()
        assert bar.get_width() == pytest.approx(float(text.split()[0]) / 0.5)
        assert bar.get_width() <= 0.3 * (right - left)


def test_nothing_overlaps_with_letters_insets_and_shared_keys(section: Section) -> None:
    insets = [(100.0, 300.0, 100.0, 200.0), (600.0, 700.0, 300.0, 400.0)]
    panels = [panel(section, f"Title {k}", CLASSES if k % 3 else BAR) for k in range(5)]
    figure = compose_figure(section, panels, letters="a", insets=insets, columns=3)
    figure.canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent()) for t in figure.findobj(Text) if t.get_text()]
    boxes += [
        (axes.get_label(), axes.get_window_extent())
        for axes in figure.axes
        if axes.get_label().startswith(("panel", "inset"))
    ]
    for place, (one, a) in enumerate(boxes):
        assert a.x0 >= -0.5 and a.x1 <= figure.bbox.x1 + 0.5, one  # noqa: PT018
        assert a.y0 >= -0.5 and a.y1 <= figure.bbox.y1 + 0.5, one  # noqa: PT018
        for other, b in boxes[place + 1 :]:
            wide = min(a.x1, b.x1) - max(a.x0, b.x0)
            high = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert wide < 0.5 or high < 0.5, (one, other)


def test_contrast_is_that_of_the_standard() -> None:
    # W3C, WCAG 2: white on black is 21; #777777 on white 4.48.
    assert luminance((1, 1, 1)) == pytest.approx(1)
    grey = float(luminance((0x77 / 255,) * 3))
    assert 1.05 / (grey + 0.05) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("page", "pale", "seen"), [("white", YELLOW, BLUE), ("black", (0.1, 0.1, 0.1, 1), YELLOW)]
)
def test_only_what_is_hardly_seen_has_an_edge(page: str, pale, seen) -> None:
    background = (1, 1, 1) if page == "white" else (0, 0, 0)
    edges = edge_colours([pale, seen], background)
    assert edges[0, 3] == 1
    assert edges[1, 3] == 0
    lit, paper = float(luminance(edges[0])), float(luminance(background))
    assert (max(lit, paper) + 0.05) / (min(lit, paper) + 0.05) > LEAST_CONTRAST


def test_pale_classes_are_seen_on_white_at_their_true_size(section: Section) -> None:
    colours = np.tile(YELLOW, (section.n_spots, 1))
    colours[::2] = BLUE
    figure = compose_figure(section, [Panel("", colours, CLASSES)], width_mm=180)
    edges = spots_of(figure).get_edgecolors()
    assert luminance(edges[1]) < 0.6 * luminance(YELLOW)
    np.testing.assert_allclose(edges[0], BLUE)
    numbers = compose_figure(section, [Panel("", colours, BAR)], width_mm=180)
    assert not len(spots_of(numbers).get_edgecolors())
    # Spots with an edge cover what those without do.
    covered = [
        (rendered(each, 400)[..., 2] < 250).sum()
        for each in (
            compose_figure(
                section, [Panel("", colours, key)], scale_bar=False, view=(0, 400, 0, 400)
            )
            for key in (ClassKey("", CLASSES.classes), None)
        )
    ]
    assert covered[0] > 0
    legend = axes_of(figure, "key type")
    assert [patch.get_linewidth() > 0 for patch in legend.patches] == [True, False]


def test_mixed_colours_have_no_edges(section: Section) -> None:
    colours = np.ones((section.n_spots, 4))
    colours[:, 0] = np.linspace(0, 1, section.n_spots)
    figure = compose_figure(section, [Panel("", colours, CLASSES)])
    assert not len(spots_of(figure).get_edgecolors())


@pytest.mark.parametrize(("most", "picture"), [(600, False), (599, True)])
def test_many_spots_are_a_picture_in_vector_files(
    section: Section, tmp_path: Path, most: int, picture: bool
) -> None:
    outline = RegionOutline("r", np.array([[90.0, 90], [310, 90], [310, 210]]), BLUE)
    figure = compose_figure(
        section, [panel(section, "title")], vector_spots=most, outlines=[outline]
    )
    tree = ElementTree.parse(save_figure(figure, tmp_path / "figure.svg", dpi=200))
    uses = [
        use
        for group in tree.iter(f"{SVG}g")
        if group.get("id") == "spots-0"
        for use in group.iter(f"{SVG}use")
    ]
    images = len(list(tree.iter(f"{SVG}image")))
    assert len(uses) == (0 if picture else 600)
    assert images == (2 if picture else 1)  # one is the colour bar
    texts = {"".join(text.itertext()).strip() for text in tree.iter(f"{SVG}text")}
    assert {"title", "proportion", "r"} <= texts
    assert any(group.get("id") == "outline-0-0" for group in tree.iter(f"{SVG}g"))
    data = save_figure(figure, tmp_path / "figure.pdf").read_bytes()
    masks = len(re.findall(rb"/SMask", data))
    assert len(re.findall(rb"/Subtype /Image", data)) - masks == images


def test_spots_of_all_panels_and_insets_count(section: Section) -> None:
    two = compose_figure(section, [panel(section, t) for t in "xy"], vector_spots=1199)
    assert spots_of(two).get_rasterized()
    part = (0.0, 400.0, 0.0, 400.0)
    cropped = compose_figure(section, [panel(section)], vector_spots=150, view=part)
    assert not spots_of(cropped).get_rasterized()
    magnified = compose_figure(section, [panel(section)], vector_spots=600, insets=[part])
    assert spots_of(magnified).get_rasterized()


def test_edges_out_of_view_are_not_drawn(section: Section) -> None:
    segments = np.array([[[100.0, 100], [140, 100]], [[900.0, 700], [940, 700]]])
    edges = EdgeOverlay(segments, np.array([[0, 0, 1, 1.0], [1, 0, 0, 1.0]]))
    figure = compose_figure(section, [panel(section)], edges=edges, view=(0.0, 400.0, 0.0, 400.0))
    (lines,) = (c for c in axes_of(figure, "panel 0").collections if c.get_gid() == "edges-0")
    np.testing.assert_array_equal(lines.get_segments(), segments[:1])
    np.testing.assert_array_equal(lines.get_colors(), [[0, 0, 1, 1]])
