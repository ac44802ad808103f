"""Where things land on the page, measured in rendered pixels and in data units."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from napari_smoother.errors import InputError
from napari_smoother.figures import (
    ClassKey,
    EdgeOverlay,
    NumberKey,
    Panel,
    RegionOutline,
    compose_figure,
    spatial_figure,
    spatial_grid,
)
from napari_smoother.figures.values import value_panel
from napari_smoother.section import Section, SectionImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_section(
    positions: np.ndarray,
    images: tuple[SectionImage, ...] = (),
    diameter: float | None = 20.0,
    micrometres: float | None = 0.5,
) -> Section:
    adata = anndata.AnnData(np.ones((len(positions), 1), np.float32))
    adata.obsm["spatial"] = np.asarray(positions, float)
    return Section("made by hand", adata, images, diameter, micrometres)


def grid_section(**options: object) -> Section:
    x, y = np.meshgrid(np.arange(0, 1200, 40.0), np.arange(0, 800, 40.0))
    return make_section(np.column_stack([x.ravel(), y.ravel()]), **options)


def plain(section: Section, colour=(1.0, 0.0, 0.0, 1.0), visible=None) -> Panel:
    return Panel("", np.tile(colour, (section.n_spots, 1)), None, visible)


def rendered(figure: Figure, dpi: float = 200) -> np.ndarray:
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


def panel_axes(figure: Figure, number: int = 0):
    return next(axes for axes in figure.axes if axes.get_label() == f"panel {number}")


def by_gid(figure: Figure, gid: str):
    return figure.findobj(lambda artist: artist.get_gid() == gid)


def centre_of(weight: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


CORNERS = [(30.0, 20.0), (930.0, 20.0), (30.0, 560.0), (930.0, 560.0)]


@pytest.mark.parametrize("scale", [0.1, 0.25])
@pytest.mark.parametrize("marked", [(820.0, 80.0), (80.0, 500.0)])
def test_a_spot_lies_on_its_image_pixel(marked: tuple[float, float], scale: float) -> None:
    rows, columns = int(600 * scale), int(1000 * scale)
    pixels = np.full((rows, columns, 3), 255, np.uint8)
    pixels[round(marked[1] * scale), round(marked[0] * scale)] = 0
    image = SectionImage("hires", pixels, scale)
    section = make_section(np.array([*CORNERS, marked]), (image,))
    nothing = plain(section, visible=np.zeros(5, bool))
    only_marked = plain(section, (0.0, 0.0, 0.0, 1.0), np.arange(5) == 4)
    block = compose_figure(section, [nothing], width_mm=120, scale_bar=False)
    spot = compose_figure(section, [only_marked], image=None, width_mm=120, scale_bar=False)
    of_block = centre_of(255 - rendered(block).mean(axis=2))
    of_spot = centre_of(255 - rendered(spot).mean(axis=2))
    np.testing.assert_allclose(of_block, of_spot, atol=0.75)
    axes = panel_axes(block)
    expected = axes.transData.transform(marked)
    height = block.get_size_inches()[1] * 200
    np.testing.assert_allclose(of_spot, [expected[0] - 0.5, height - expected[1] - 0.5], atol=0.75)


def test_an_image_pixel_covers_its_square() -> None:
    scale = 0.02
    pixels = np.full((12, 20, 3), 255, np.uint8)
    pixels[3, 15] = 0
    section = make_section(np.array(CORNERS), (SectionImage("lowres", pixels, scale),))
    figure = compose_figure(
        section, [plain(section, visible=np.zeros(4, bool))], width_mm=150, scale_bar=False
    )
    dark = rendered(figure).mean(axis=2) < 128
    axes = panel_axes(figure)
    height = dark.shape[0]
    corners = axes.transData.transform([(14.5 / scale, 2.5 / scale), (15.5 / scale, 3.5 / scale)])
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    np.testing.assert_allclose([columns[0], columns[-1] + 1], corners[:, 0], atol=1.5)
    np.testing.assert_allclose([rows[0], rows[-1] + 1], height - corners[:, 1], atol=1.5)
    assert 0.95 < dark.sum() / np.prod(np.abs(corners[1] - corners[0])) < 1.05


@pytest.mark.parametrize("width", [60.0, 85.0, 180.0])
def test_spots_keep_their_true_diameter_at_any_size(width: float) -> None:
    section = make_section(np.array(CORNERS), diameter=90.0)
    figure = compose_figure(section, [plain(section)], width_mm=width, scale_bar=False)
    covered = (255 - rendered(figure)[..., 1]).sum() / 255
    axes = panel_axes(figure)
    (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (100, 100)])
    per_unit = abs(x1 - x0) / 100
    assert abs(y1 - y0) / 100 == pytest.approx(per_unit, rel=1e-3)
    assert covered == pytest.approx(4 * np.pi * (45 * per_unit) ** 2, rel=0.02)


def test_an_unknown_diameter_follows_the_distance_of_spots() -> None:
    known = compose_figure(grid_section(diameter=22.0), [plain(grid_section())], scale_bar=False)
    guessed = compose_figure(grid_section(diameter=None), [plain(grid_section())], scale_bar=False)
    np.testing.assert_array_equal(rendered(known), rendered(guessed))


def test_the_y_axis_points_down_and_all_spots_are_in_view() -> None:
    section = grid_section()
    figure = compose_figure(section, [plain(section)])
    axes = panel_axes(figure)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert left < -10 < 1170 < right
    assert top < -10 < 770 < bottom


def test_only_visible_spots_are_drawn() -> None:
    section = grid_section()
    visible = section.positions[:, 0] > 600
    figure = compose_figure(section, [plain(section, visible=visible)], scale_bar=False)
    red = rendered(figure)[..., 1] < 128
    axes = panel_axes(figure)
    middle = axes.transData.transform((600, 0))[0]
    assert not red[:, : int(middle)].any()
    assert red[:, int(middle) :].any()


@pytest.mark.parametrize(
    ("micrometres", "text"),
    [(0.5, "100 µm"), (6.0, "2 mm"), (0.01, "2 µm"), (0.001, "0.2 µm"), (None, "200 px")],
)
def test_the_scale_bar_is_as_long_as_it_says(micrometres: float | None, text: str) -> None:
    # In view are 1160 pixels of spots, 15 on either side and 2 % of 1160 as well.
    section = grid_section(micrometres=micrometres)
    figure = compose_figure(section, [plain(section), plain(section)], columns=1)
    (bar,) = by_gid(figure, "scale-bar")
    assert bar.axes is panel_axes(figure, 1)
    assert bar.get_transform().contains_branch(bar.axes.transData)
    assert [item.get_text() for item in bar.axes.texts] == [text]
    value, unit = text.split()
    claimed = float(value) * {"µm": 1, "mm": 1000, "px": 1}[unit] / (micrometres or 1)
    assert bar.get_width() == pytest.approx(claimed)
    assert bar.get_width() <= 0.3 * np.ptp(bar.axes.get_xlim())


def test_the_scale_bar_is_drawn_at_its_length() -> None:
    section = grid_section()
    figure = compose_figure(section, [plain(section, visible=np.zeros(600, bool))], width_mm=100)
    (bar,) = by_gid(figure, "scale-bar")
    rendered(figure)
    (x0, _), (x1, _) = bar.axes.transData.transform([(0, 0), (bar.get_width(), 0)])
    for text in bar.axes.texts:
        text.set_visible(False)
    dark = (rendered(figure).mean(axis=2) < 100).sum(axis=1).max()
    assert dark == pytest.approx(abs(x1 - x0), abs=1.5)


def test_edges_and_outlines_are_drawn_where_they_are_and_named() -> None:
    section = grid_section()
    edges = EdgeOverlay(
        np.array([[[100.0, 100.0], [140.0, 100.0]]]),
        np.array([[0.0, 0.0, 1.0, 1.0]]),
        2.0,
        NumberKey("Edge weight", 0, 1, "cividis"),
    )
    outline = RegionOutline(
        "Hilus", np.array([[200.0, 200], [600, 200], [600, 600]]), (0.0, 0.6, 0.0, 1.0)
    )
    figure = compose_figure(
        section, [plain(section), plain(section)], edges=edges, outlines=[outline]
    )
    lines = by_gid(figure, "edges-0") + by_gid(figure, "edges-1")
    assert len(lines) == 2
    assert isinstance(lines[0], LineCollection)
    np.testing.assert_allclose(lines[0].get_segments(), edges.segments)
    np.testing.assert_allclose(by_gid(figure, "outline-0-0")[0].get_xy()[:3], outline.vertices)
    texts = [item.get_text() for item in figure.findobj(Text)]
    for name in ("Edge weight", "Regions", "Hilus"):
        assert texts.count(name) == 1


def all_kinds(section: Section, count: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    n = section.n_spots
    names = ["Oligodendrocyte", "Excitatory L2-3", "Inhibitory PVALB", "Astrocyte", "T"]
    few = pd.Categorical(rng.choice([*names, None], n))
    many = pd.Categorical([f"Cell type number {k}" for k in rng.integers(0, 28, n)])
    gaps = rng.normal(size=n)
    gaps[:50] = np.nan
    kinds = {
        "Dominant cell type": few,
        "A title so long that it has to be broken into two or even three lines of text": gaps,
        "Small": 1e-7 * rng.random(n),
        "Large": 1e6 * rng.random(n) - 3e5,
        "Tiny span": 1.0 + 0.001 * rng.random(n),
        "Many classes": many,
    }
    return dict(list(kinds.items())[:count])


@pytest.mark.parametrize(
    ("count", "columns", "width"),
    [(1, None, 85), (2, 2, 85), (6, None, 180), (6, 2, 180), (5, 3, 180), (3, 1, 85), (5, 4, 240)],
)
def test_nothing_overlaps_and_nothing_leaves_the_page(count: int, columns, width: float) -> None:
    section = grid_section()
    quantity = "Some quantity with a fairly long name, in arbitrary units per spot"
    figure = spatial_grid(
        section, all_kinds(section, count), quantity=quantity, columns=columns, width_mm=width
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(width)
    page = figure.bbox
    texts = [item for item in figure.findobj(Text) if item.get_text()]
    boxes = [(item.get_text(), item.get_window_extent(renderer)) for item in texts]
    panels = [(f"panel {k}", panel_axes(figure, k).get_window_extent()) for k in range(count)]
    for name, box in boxes + panels:
        assert box.x0 >= page.x0 - 0.5, name
        assert box.x1 <= page.x1 + 0.5, name
        assert box.y0 >= page.y0 - 0.5, name
        assert box.y1 <= page.y1 + 0.5, name
    for (one, a), (other, b) in itertools.combinations(boxes + panels, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide < 0.5 or high < 0.5, (one, other, wide, high)
    sizes = {tuple(np.round(box.size, 3)) for _, box in panels}
    assert len(sizes) == 1


def test_keys_say_what_is_shown() -> None:
    section = grid_section()
    n = section.n_spots
    values = np.linspace(0, 10, n)
    values[3] = np.nan
    texts = {
        item.get_text()
        for item in spatial_figure(
            section, values, quantity="Counts", title="PCP4", limits=(0, 10)
        ).findobj(Text)
    }
    assert {"PCP4", "Counts", "no value", "0.0", "2.5", "5.0", "7.5", "10.0"} <= texts
    classes = np.array(["b", "a"] * (n // 2), object)
    classes[0] = None
    figure = spatial_figure(section, classes, quantity="Layer", palette={"a": (0, 0, 0)})
    assert {"Layer", "a", "b", "no value"} <= {item.get_text() for item in figure.findobj(Text)}
    drawn = by_gid(figure, "spots-0")[0].get_facecolor()
    np.testing.assert_allclose(drawn[1], (0, 0, 0, 1), atol=1e-6)
    assert not np.allclose(drawn[2], drawn[0])


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1e-6), (-2e5, 3e5), (0.997, 1.003), (0, 37), (3, 4)]
)
def test_numbers_beside_a_colour_bar_are_true(low: float, high: float) -> None:
    section = grid_section()
    panel = Panel("", np.ones((section.n_spots, 4)), NumberKey("Quantity", low, high, "magma"))
    figure = compose_figure(section, [panel])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = next(a for a in figure.axes if a.get_label() == "key Quantity")
    label = next(t.get_text() for t in axes.texts if "Quantity" in t.get_text())
    power = 0
    if "×10" in label:
        raised = label.split("×10")[1].rstrip(")")
        power = int(raised.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    _, _, bottom, top = axes.images[0].get_extent()
    ticks = [t for t in axes.texts if "Quantity" not in t.get_text()]
    assert 2 <= len(ticks) <= 7
    for tick in ticks:
        share = (tick.get_position()[1] - bottom) / (top - bottom)
        shown = float(tick.get_text().replace("\N{MINUS SIGN}", "-")) * 10.0**power
        assert shown == pytest.approx(low + share * (high - low), abs=1e-6 * (high - low))


def test_classes_keep_the_order_of_a_categorical() -> None:
    section = grid_section()
    order = ["WM", "L6", "L1"]
    values = pd.Series(pd.Categorical(np.resize(order, section.n_spots), categories=order))
    figure = spatial_figure(section, values, quantity="Layer")
    shown = [item.get_text() for item in figure.findobj(Text)]
    assert [name for name in shown if name in order] == order


def test_shared_limits_make_panels_comparable() -> None:
    section = grid_section()
    n = section.n_spots
    values = {"a": np.linspace(0, 1, n), "b": np.linspace(0, 4, n)}
    apart = spatial_grid(section, values, quantity="Q", percentiles=(0, 100))
    shared = spatial_grid(section, values, quantity="Q", percentiles=(0, 100), shared_limits=True)
    last = [by_gid(figure, "spots-0")[0].get_facecolor()[-1] for figure in (apart, shared)]
    assert not np.allclose(last[0], last[1])
    both = [by_gid(shared, f"spots-{k}")[0].get_facecolor() for k in (0, 1)]
    np.testing.assert_allclose(both[0][-1], both[1][n // 4], atol=0.02)


def test_every_panel_can_have_a_quantity_of_its_own() -> None:
    section = grid_section()
    values = {"a": np.arange(600.0), "b": np.arange(600.0)}
    figure = spatial_grid(section, values, quantity={"a": "Counts", "b": "Share"})
    assert {"Counts", "Share"} <= {item.get_text() for item in figure.findobj(Text)}


def test_a_paler_image_leaves_the_spots_as_they_are() -> None:
    image = SectionImage("hires", np.zeros((80, 120, 3), np.uint8), 0.1)
    section = make_section(np.array(CORNERS), (image,), diameter=90.0)
    for opacity, shade in ((1.0, 0), (0.2, 204)):
        figure = compose_figure(section, [plain(section)], image_opacity=opacity)
        picture = rendered(figure)
        axes = panel_axes(figure)
        for place, colour in (((480, 300), (shade, shade, shade)), (CORNERS[0], (255, 0, 0))):
            x, y = axes.transData.transform(place)
            found = picture[picture.shape[0] - int(y), int(x)]
            np.testing.assert_allclose(found, colour, atol=1.5)


def test_text_is_white_on_a_dark_page() -> None:
    section = grid_section()
    values = np.arange(section.n_spots)
    key = NumberKey("Q", 0, 1, "viridis")
    panel = Panel("T", np.ones((len(values), 4)), key)
    figure = compose_figure(section, [panel], background="#101010")
    assert {item.get_color() for item in figure.findobj(Text) if item.get_text()} == {"white"}


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((5, 7), 128, np.uint8), (128, 128, 128)),
        (np.full((5, 7, 3), 0.5, np.float32), (128, 128, 128)),
        (np.full((5, 7, 3), 128.0), (128, 128, 128)),
        (np.tile(np.array([0, 30000, 60000], np.uint16), (5, 7, 1)), (0, 128, 255)),
        (np.tile(np.array([255, 0, 0, 0], np.uint8), (5, 7, 1)), (255, 255, 255)),
        (np.tile(np.array([255, 0, 0, 255], np.uint8), (5, 7, 1)), (255, 0, 0)),
        (np.tile(np.array([255, 0, 10, 7, 9], np.uint8), (5, 7, 1)), (255, 0, 10)),
    ],
)
def test_images_of_every_kind_are_shown(pixels: np.ndarray, expected) -> None:
    image = SectionImage("hires", pixels, 0.01)
    section = make_section(np.array([(100.0, 100.0), (500.0, 300.0)]), (image,))
    figure = compose_figure(section, [plain(section, visible=np.zeros(2, bool))])
    picture = rendered(figure)
    axes = panel_axes(figure)
    x, y = axes.transData.transform((300, 200))
    np.testing.assert_allclose(picture[picture.shape[0] - int(y), int(x)], expected, atol=1)


def bad_panel(section: Section) -> Panel:
    return Panel("x", np.ones((section.n_spots - 1, 4)), None)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda s: compose_figure(s, []), "panels"),
        (lambda s: compose_figure(s, [bad_panel(s)]), "panel 'x'"),
        (lambda s: compose_figure(s, [plain(s)], width_mm=5), "width_mm"),
        (lambda s: compose_figure(s, [plain(s)], columns=0), "columns"),
        (lambda s: compose_figure(s, [plain(s)] * 9, columns=9, width_mm=85), "columns"),
        (lambda s: compose_figure(s, [plain(s)], font_size=0), "font_size"),
        (lambda s: compose_figure(s, [plain(s)], image_opacity=2), "image_opacity"),
        (lambda s: compose_figure(s, [plain(s)], background="no colour"), "background"),
        (lambda s: Panel("x", np.ones((3, 3)), None), "panel 'x'"),
        (lambda s: Panel("x", np.full((3, 4), 255.0), None), "panel 'x'"),
        (lambda s: Panel("x", np.full((3, 4), np.nan), None), "panel 'x'"),
        (lambda s: Panel("x", np.ones((3, 4)), None, np.ones(2, bool)), "panel 'x'"),
        (lambda s: NumberKey("q", 1, 1, "magma"), "limits of q"),
        (lambda s: NumberKey("q", 0, np.nan, "magma"), "limits of q"),
        (lambda s: EdgeOverlay(np.ones((3, 2)), np.ones(4)), "edges"),
        (lambda s: EdgeOverlay(np.ones((3, 2, 2)), np.ones((2, 4))), "edges"),
        (lambda s: RegionOutline("r", np.ones((2, 2)), (0, 0, 0, 1)), "outline of r"),
        (lambda s: spatial_figure(s, [1, 2], quantity="q"), "q"),
        (lambda s: spatial_figure(s, np.ones(s.n_spots), quantity="q", colormap="?"), "colormap"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(make, where: str) -> None:
    with pytest.raises(InputError) as refused:
        make(grid_section())
    assert where in refused.value.where


def test_a_single_spot_and_values_without_any_number_can_be_drawn() -> None:
    one = make_section(np.array([(5.0, 5.0)]), diameter=None)
    rendered(spatial_figure(one, [1.0], quantity="q"))
    figure = spatial_figure(one, [np.nan], quantity="q")
    assert "no value" in {item.get_text() for item in figure.findobj(Text)}
    rendered(compose_figure(one, [Panel("t", np.ones((1, 4)), ClassKey("empty", ()))]))


def test_classes_have_the_colours_of_their_column() -> None:
    """spatialdata-plot#414: scanpy keeps them in uns, one for each category."""
    section = grid_section()
    values = np.resize(["b", "a", "c"], section.n_spots)
    section.adata.obs["cluster"] = pd.Categorical(values, categories=["c", "b", "a"])
    section.adata.uns["cluster_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    column = section.adata.obs["cluster"]
    panel = value_panel(section, column, quantity="cluster", palette={"a": (1, 1, 0)})
    assert panel.key.classes == (
        ("c", (1, 0, 0, 1)),
        ("b", (0, 1, 0, 1)),
        ("a", (1, 1, 0, 1)),
    )
    np.testing.assert_array_equal(panel.colours[0], [0, 1, 0, 1])
    other = value_panel(section, column.rename("mine"), quantity="cluster")
    assert other.key.classes[0][1] != (1, 0, 0, 1)
    section.adata.uns["cluster_colors"] = ["#ff0000"]
    with pytest.warns(UserWarning, match=r"1 colours for 3 classes, so they are not used"):
        ours = value_panel(section, column, quantity="cluster")
    assert ours.key.classes == other.key.classes
