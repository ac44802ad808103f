"""Figures of a study without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_smoother.analyses.context import Context
from napari_smoother.analyses.figure_settings import (
    AUTOENCODER_DOMAINS,
    DOMAINS,
    DOMINANT_TYPE,
    ON_SCREEN,
    REGIONS,
    FigureSettings,
    PanelSettings,
    Part,
)
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.analyses.shown import View
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.printing.contents import is_there, offered
from napari_smoother.printing.plan import plan
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.study import Study


@pytest.fixture
def study() -> Study:
    section = simulate_cortex(rows=24, n_genes=60, image_size=200).section
    section.adata.obsm["X_pca"] = section.positions.copy()
    study = Study()
    study.open(section)
    return study


def panels(study: Study, *contents: str, **settings: object):
    return plan(study, FigureSettings(contents, **settings)).panels()


def test_without_a_section_there_is_nothing_to_print() -> None:
    with pytest.raises(InputError, match="nothing to print"):
        plan(Study())


def test_every_kind_of_panel(study: Study) -> None:
    section = study.section
    gene = str(section.adata.var_names[3])
    found, left_out = panels(study, ON_SCREEN, gene, "region", "X_pca / 1")
    assert not left_out
    assert [panel.title for panel in found] == ["", gene, "region", "X_pca / 1"]
    assert found[0].key is None
    low, high = np.percentile(section.positions[:, 1], [1, 99])
    assert (found[3].key.low, found[3].key.high) == pytest.approx((low, high))


def test_what_is_not_there_is_left_out_and_told(study: Study) -> None:
    missing = (DOMINANT_TYPE, REGIONS, DOMAINS, AUTOENCODER_DOMAINS, "a gene", "X_pca / 9")
    found, left_out = panels(study, "region", *missing)
    assert len(found) == 1
    assert len(left_out) == len(missing)
    for name, sentence in zip(missing, left_out, strict=True):
        assert name.split(" / ")[-1] in sentence
    with pytest.raises(InputError, match="no domains yet") as refused:
        panels(study, DOMAINS)
    assert refused.value.remedy == "Choose panels that this section has"


def test_what_is_offered_is_there(study: Study) -> None:
    study.regions = study.regions.with_class(RegionClass("lesion", (0.9, 0.4, 0.1)))
    source = plan(study).source
    assert offered(source) == (ON_SCREEN, REGIONS)
    for name in (
        ON_SCREEN,
        REGIONS,
        "region",
        "X_pca / 0",
        str(source.section.adata.var_names[0]),
    ):
        assert is_there(source, name), name
    for name in (DOMINANT_TYPE, DOMAINS, "nothing", "nothing / 1"):
        assert not is_there(source, name), name


def test_limits_of_a_panel_come_before_common_ones(study: Study) -> None:
    genes = [str(name) for name in study.section.adata.var_names[:3]]
    own, _ = panels(study, *genes)
    common, _ = panels(
        study, *genes, "region", limits="common", panels=(PanelSettings(genes[0], high=9.5),)
    )
    assert common[0].key.high == 9.5
    assert common[1].key == common[2].key
    assert common[1].key.high == max(panel.key.high for panel in own)
    assert common[1].key.low == min(panel.key.low for panel in own)
    assert common[1].key.quantity == "log1p of counts per 10,000"


def test_constant_and_missing_values_have_a_key(study: Study) -> None:
    obs = study.section.adata.obs
    obs["constant"] = 3.0
    obs["nothing"] = np.nan
    obs["none"] = pd.Categorical([None] * len(obs), categories=["x"])
    found, left_out = panels(study, "constant", "nothing", "none", limits="common")
    assert not left_out
    assert (found[0].key.low, found[0].key.high) == (3.0, 4.0)
    assert found[1].key.missing
    assert found[2].key.missing


@pytest.mark.parametrize("region", ["lesion", "gone"])
def test_a_crop_goes_around_its_region(study: Study, region: str) -> None:
    positions = study.section.positions
    low, high = np.percentile(positions, [30, 60], axis=0)
    square = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    study.regions = study.regions.with_class(RegionClass("lesion", (0.9, 0.4, 0.1))).with_shapes(
        [RegionShape("lesion", square)]
    )
    drawn = plan(study, FigureSettings(("region",), crop=Part(region))).compose()
    axes = next(axes for axes in drawn.figure.axes if axes.get_label() == "panel 0")
    inside = positions[study.region_labels == 0]
    if region == "gone":
        assert 'no spot in a region "gone"' in drawn.remark
        assert axes.get_xlim()[1] > positions[:, 0].max()
        return
    assert not drawn.remark
    margin = 1.5 * study.section.spot_diameter
    assert axes.get_xlim() == pytest.approx(
        (inside[:, 0].min() - margin, inside[:, 0].max() + margin)
    )
    assert drawn.n_spots < len(positions)


def test_a_rectangle_beside_the_tissue_is_told(study: Study) -> None:
    nowhere = Part(box=(-9e6, -9e6, -8e6, -8e6))
    drawn = plan(study, FigureSettings(("region",), crop=nowhere, insets=(nowhere,))).compose()
    assert "Not cropped" in drawn.remark
    assert "An inset is left out" in drawn.remark


def test_spots_and_image_are_as_on_screen_unless_they_are_set(study: Study) -> None:
    def drawn(**settings: float):
        figure = plan(study, FigureSettings(("region",), **settings)).compose().figure
        axes = next(axes for axes in figure.axes if axes.get_label() == "panel 0")
        (spots,) = (c for c in axes.collections if c.get_gid() == "spots-0")
        return spots.get_widths()[0], axes.images[0].get_alpha()

    own = study.section.spot_diameter
    assert drawn() == (pytest.approx(own), None)
    study.recipe = replace(
        study.recipe, shown=replace(study.recipe.shown, spot_size=2.0, image_opacity=0.25)
    )
    assert drawn() == (pytest.approx(2 * own), 0.25)
    assert drawn(spot_size=0.5, image_opacity=0.75) == (pytest.approx(own / 2), 0.75)


def test_many_spots_are_told_to_be_a_picture(study: Study) -> None:
    n = study.section.n_spots
    for most, picture in ((2 * n, False), (2 * n - 1, True)):
        settings = FigureSettings(("region", "X_pca / 0"), vector_spots=most)
        drawn = plan(study, settings).compose()
        assert (drawn.n_spots, drawn.as_picture) == (2 * n, picture)


def test_a_figure_can_be_cancelled_while_it_is_composed(study: Study) -> None:
    with pytest.raises(Cancelled):
        plan(study).compose(Context(lambda: True))


def test_what_is_on_screen_is_the_view(study: Study) -> None:
    view = View("obs", "region")
    study.recipe = replace(study.recipe, shown=replace(study.recipe.shown, view=view))
    (on_screen, column), _ = panels(study, ON_SCREEN, "region")
    np.testing.assert_array_equal(on_screen.colours, column.colours)
    assert on_screen.key == column.key
