"""Commands on layers of points that are of no section of ours, as a user gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from napari.layers import Points

import napari_smoother as ns
from napari_smoother.layers.tissue import SPOTS
from napari_smoother.weights.lattice import nearest_on_section
from napari_smoother.weights.precision import precision
from napari_smoother.widgets.commands.form import running

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from pytestqt.qtbot import QtBot

    from napari_smoother.sample_data import Sample
    from napari_smoother.widgets.session import Session

PLUGIN = "napari-smoother"
SIDE = 20


@pytest.fixture
def points(window: napari.Viewer) -> Points:
    """Return a layer of a user's own: scaled, turned, with features of every kind."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2)
    slope = places[:, 0] / SIDE
    features = pd.DataFrame(
        {
            "marker, raw": slope + rng.normal(0, 0.3, len(places)),
            "<b>other</b>": 5 * slope + rng.normal(0, 0.3, len(places)),
            "noise": rng.normal(0, 1, len(places)),
            "name": [f"cell {n}" for n in range(len(places))],
            "known": slope > 0.5,
        }
    )
    features.loc[7, "marker, raw"] = np.nan
    return window.add_points(
        places * 10.0,
        features=features,
        scale=(0.5, 0.5),
        translate=(3, 4),
        rotate=30,
        name="mine",
    )


@pytest.fixture
def form(window: napari.Viewer) -> Callable[[str], Any]:
    def open_form(name: str) -> Any:
        return window.window.add_plugin_dock_widget(PLUGIN, name)[1]

    return open_form


def world(layer: Points) -> np.ndarray:
    return np.array([layer.data_to_world(place) for place in layer.data])


def test_smoothing_is_the_posterior_mean(
    points: Points, form: Callable[[str], Any], qtbot: QtBot
) -> None:
    before = points.features.copy()
    gui = form("Smooth a feature")
    assert gui.feature.choices == ("marker, raw", "<b>other</b>", "noise")
    gui.feature.value, gui.lambda_.value = "marker, raw", 2.5
    gui.call_button.native.click()
    name = "marker, raw, smoothed (λ 2.5)"
    qtbot.waitUntil(lambda: name in points.features)
    y = before["marker, raw"].to_numpy()
    known = np.isfinite(y)
    q = precision(nearest_on_section(world(points)[known], 6).weights, "icar", 0.99)
    mean = y[known].mean()
    system = np.eye(known.sum()) + 2.5 * q.toarray()
    found = points.features[name].to_numpy()
    np.testing.assert_allclose(
        found[known], mean + np.linalg.solve(system, y[known] - mean), atol=1e-9
    )
    assert np.isnan(found[7])
    pd.testing.assert_frame_equal(points.features[list(before)], before)
    assert len(np.unique(points.face_color, axis=0)) > 50
    assert points.face_colorbar.visible
    assert gui.feature.value == "marker, raw"
    assert name in gui.feature.choices
    gui.call_button.native.click()  # once more: the same result in the same place
    qtbot.wait(300)
    assert list(points.features) == [*before, name]


def test_a_feature_of_the_same_name_stays(
    points: Points, form: Callable[[str], Any], qtbot: QtBot
) -> None:
    points.features = points.features.assign(**{"noise, smoothed (λ 1)": "by hand"})
    gui = form("Smooth a feature")
    gui.feature.value = "noise"
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: "noise, smoothed (λ 1)_smoother" in points.features)
    assert (points.features["noise, smoothed (λ 1)"] == "by hand").all()


def test_components_are_those_of_the_library(
    points: Points, form: Callable[[str], Any], qtbot: QtBot
) -> None:
    points.features = points.features.assign(**{"marker, raw": np.arange(len(points.data)) % 7.0})
    gui = form("Spatial components of features")
    assert gui.features.value == ["marker, raw", "<b>other</b>", "noise"]
    gui.components.value = 2
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: "spatial component 2" in points.features)
    x = points.features[["marker, raw", "<b>other</b>", "noise"]].to_numpy()
    adata = anndata.AnnData((x - x.mean(0)) / x.std(0))
    adata.obsm["spatial"] = world(points)
    ns.spatial_pca(adata, layer="X", n_latent=2, lambda_=0.1, smoothing=0.0)
    found = points.features[["spatial component 1", "spatial component 2"]].to_numpy()
    np.testing.assert_allclose(found, adata.obsm["X_spatial_pca"], atol=1e-5)
    assert points.features["name"].iloc[3] == "cell 3"
    gui.features.value = []
    gui.call_button.native.click()


def test_regions_have_their_names(
    window: napari.Viewer, points: Points, form: Callable[[str], Any], qtbot: QtBot
) -> None:
    # The square in the world around some points, drawn in a layer of another scale.
    places = world(points)
    low, high = places[:100].min(axis=0), places[:100].max(axis=0)
    square = np.array([low, [low[0], high[1]], high, [high[0], low[1]]])
    shapes = window.add_shapes(
        [square / 2, square[:3] / 2, np.array([low, high]) / 2],
        shape_type=["polygon", "polygon", "line"],
        features={"region": ["follicle, <i>1</i>", "core", "line"]},
        scale=(2, 2),
    )
    gui = form("Regions of points")
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: "region" in points.features)
    column = points.features["region"]
    assert list(column.cat.categories) == ["follicle, <i>1</i>", "core"]
    inside = ((places >= low - 1e-9) & (places <= high + 1e-9)).all(axis=1)
    np.testing.assert_array_equal(column.notna(), inside)
    assert (column == "core").sum() > 10
    assert (column == "follicle, <i>1</i>").sum() > 10
    colours = points.face_color[(column == "core").to_numpy()]
    assert len(np.unique(colours, axis=0)) == 1
    shapes.features = pd.DataFrame(index=range(3))
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: "1" in list(points.features["region"].cat.categories))


def test_neighbours_become_a_layer(
    window: napari.Viewer, points: Points, form: Callable[[str], Any], qtbot: QtBot
) -> None:
    gui = form("Connect neighbours")
    gui.neighbours.value = 4
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: len(window.layers) == 2)
    edges, mine = window.layers
    assert mine is points
    assert edges.name == "mine: neighbours"
    assert len(edges.data) == 2 * SIDE * (SIDE - 1)
    starts, ends = edges.data[:, 0], edges.data.sum(axis=1)
    places = {tuple(place) for place in world(points).round(6)}
    assert {tuple(place) for place in np.vstack([starts, ends]).round(6)} <= places
    np.testing.assert_allclose(np.linalg.norm(edges.data[:, 1], axis=1), 5.0)


def test_three_dimensions(window: napari.Viewer, form: Callable[[str], Any], qtbot: QtBot) -> None:
    cube = np.argwhere(np.ones((5, 5, 5))).astype(float)
    layer = window.add_points(cube, features={"z": cube[:, 0]}, scale=(2, 1, 1), name="cube")
    gui = form("Connect neighbours")
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: len(window.layers) == 2)
    assert window.layers[0].ndim == 3
    smooth = form("Smooth a feature")
    smooth.call_button.native.click()
    qtbot.waitUntil(lambda: layer.features.shape[1] == 2)


def test_what_cannot_be_done_is_told(
    window: napari.Viewer,
    points: Points,
    form: Callable[[str], Any],
    qtbot: QtBot,
    told: list[str],
) -> None:
    window.add_shapes([[[0, 0], [1, 1]]], shape_type="line")
    form("Regions of points").call_button.native.click()
    qtbot.waitUntil(lambda: any("encloses an area" in message for message in told))
    empty = window.add_points(ndim=2, name="empty", features={"x": np.array([], dtype=float)})
    gui = form("Smooth a feature")
    gui.points.value = empty
    assert gui.feature.choices == ("x",)
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: any("0 points" in message for message in told))
    gui = form("Spatial components of features")
    gui.points.value = points
    gui.features.value = ["noise"]
    gui.components.value = 3
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: any("3 components are asked for" in message for message in told))
    gui.features.value = []
    gui.call_button.native.click()
    qtbot.waitUntil(lambda: any("No feature is chosen" in message for message in told))
    assert list(points.features) == ["marker, raw", "<b>other</b>", "noise", "name", "known"]


def test_points_without_numbers_offer_nothing(
    window: napari.Viewer, form: Callable[[str], Any]
) -> None:
    layer = window.add_points([[0, 0], [1, 1]], features={"name": ["a", "b"]})
    gui = form("Smooth a feature")
    assert not gui.call_button.enabled
    layer.features = layer.features.assign(number=[1.0, 2.0])
    assert gui.feature.choices == ("number",)
    assert gui.call_button.enabled
    window.layers.remove(layer)
    assert not gui.call_button.enabled


def test_forms_follow_layers_and_may_be_closed(
    window: napari.Viewer, points: Points, form: Callable[[str], Any], qtbot: QtBot
) -> None:
    gui = form("Smooth a feature")
    other = window.add_points([[0, 0], [1, 1]], features={"z": [1.0, 2.0]}, name="other")
    gui.points.value = other
    assert gui.feature.choices == ("z",)
    gui.points.value = points
    other.features = other.features.assign(w=0.0)
    assert "w" not in gui.feature.choices
    window.window.remove_dock_widget(gui.native)
    qtbot.wait(50)
    points.features = points.features.assign(later=0.0)


def test_a_layer_taken_away_meanwhile_gets_nothing(
    window: napari.Viewer,
    points: Points,
    form: Callable[[str], Any],
    qtbot: QtBot,
    told: list[str],
) -> None:
    for name in ("Smooth a feature", "Connect neighbours"):
        form(name).call_button.native.click()
    window.layers.remove(points)
    qtbot.waitUntil(lambda: not running)
    assert not window.layers
    assert "marker, raw, smoothed (λ 1)" not in points.features
    assert not told


def test_spots_of_a_section_keep_key_and_colours_together(
    window: napari.Viewer,
    session: Session,
    sample: Sample,
    form: Callable[[str], Any],
    qtbot: QtBot,
    settle: Callable[[Session], None],
) -> None:
    session.study.open(sample.section)
    settle(session)
    spots = session.scene.layer(SPOTS)
    assert isinstance(spots, Points)
    gui = form("Smooth a feature")
    gui.feature.value = "array_row"
    gui.call_button.native.click()
    name = "array_row, smoothed (λ 1)"
    qtbot.waitUntil(lambda: name in spots.features)
    assert session.scene.key is not None
    assert session.scene.key.quantity == name


def test_commands_are_in_the_menus_of_layers(window: napari.Viewer) -> None:
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    for menu, command in {
        "napari/layers/filter": "smooth_feature",
        "napari/layers/visualize": "connect_neighbours",
        "napari/layers/measure": "regions_of_points",
    }.items():
        commands = [item.command.id for item in menus.get_menu(menu) if hasattr(item, "command")]
        assert f"{PLUGIN}.{command}" in commands
    get_app_model().commands.execute_command(f"{PLUGIN}.smooth_feature").result()
    assert any("Smooth a feature" in name for name in window.window.dock_widgets)
