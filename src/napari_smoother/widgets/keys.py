"""The keys of the canvas, among napari's own: listed and changed in its preferences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.action_manager import action_manager

from napari_smoother.layers import tissue
from napari_smoother.layers.stepping import step_map, step_shown
from napari_smoother.widgets import figure_saving, picture
from napari_smoother.widgets.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_smoother.widgets.session import Session

SMALLER = 1 / 1.15
LARGER = 1.15
SPOT_SIZES = (0.2, 4.0)


@dataclass(frozen=True, slots=True)
class Action:
    """What a key does.

    Parameters
    ----------
    name
        For napari's settings.
    description
        For its preferences and the list of keys.
    keys
        As napari writes them.
    act
        Called with the session.
    """

    name: str
    description: str
    keys: str
    act: Callable[[Session], object]


def toggle(name: str) -> Callable[[Session], None]:
    """Return what hides or shows a layer of the scene."""

    def act(session: Session) -> None:
        scene = session.scene
        layer = scene.map_on_top if name == tissue.SPOTS else scene.layer(name)
        if layer is not None:
            layer.visible = not layer.visible

    return act


def resize(factor: float) -> Callable[[Session], None]:
    """Return what draws spots so many times as large."""

    def act(session: Session) -> None:
        low, high = SPOT_SIZES
        size = session.scene.shown.spot_size * factor
        if session.study.section is not None:
            session.scene.resize_spots(min(max(size, low), high))

    return act


def fit(session: Session) -> None:
    """Show all of the tissue."""
    viewer, layer = session.viewer, session.scene.map_on_top
    if viewer is not None and layer is not None:
        viewer.fit_to_view(layers=[layer])


def next_section(session: Session) -> None:
    """Bring the next open section to the front."""
    study = session.study
    if len(study.sections) > 1:
        study.switch_to((study.place + 1) % len(study.sections))


ACTIONS = (
    Action(
        "next_shown", "Next gene, cell type or component", ".", lambda s: step_shown(s.scene, 1)
    ),
    Action(
        "previous_shown",
        "Previous gene, cell type or component",
        ",",
        lambda s: step_shown(s.scene, -1),
    ),
    Action("next_map", "Next map", "N", lambda s: step_map(s.scene, 1)),
    Action("previous_map", "Previous map", "Shift-N", lambda s: step_map(s.scene, -1)),
    Action("toggle_image", "Hide or show the tissue image", "H", toggle(tissue.IMAGE)),
    Action("toggle_spots", "Hide or show the spots", "U", toggle(tissue.SPOTS)),
    Action("smaller_spots", "Smaller spots", "J", resize(SMALLER)),
    Action("larger_spots", "Larger spots", "K", resize(LARGER)),
    Action("fit_tissue", "Fit the view to the tissue", "W", fit),
    Action("next_section", "Next open section", "Q", next_section),
    Action(
        "save_figure",
        "Save the figure",
        figure_saving.SHORTCUT.replace("Ctrl", "Control").replace("+", "-"),
        lambda s: figure_saving.ask_and_save(s, None),
    ),
    Action("copy_picture", "Copy the view with its key as a picture", "Shift-C", picture.copy),
    Action("undo", "Undo the last change", "Control-Z", lambda s: s.study.undo()),
    Action("redo", "Redo it", "Control-Shift-Z", lambda s: s.study.redo()),
)


@cache
def register() -> None:
    """Let napari know the keys; what the user has set in its preferences stays."""
    chosen = get_settings().shortcuts.shortcuts
    for action in ACTIONS:
        name = f"napari-smoother:{action.name}"
        action_manager.register_action(
            name=name,
            command=_command(action),
            description=f"Smoother: {action.description}",
            keymapprovider=ViewerModel,
            repeatable=action.name in ("next_shown", "previous_shown"),
        )
        if name not in chosen:
            action_manager.bind_shortcut(name, action.keys)


def described() -> dict[str, str]:
    """Return what each key does that is in force now, by the key."""
    known = action_manager._get_provider_actions(ViewerModel)
    said = {}
    for action in ACTIONS:
        name = f"napari-smoother:{action.name}"
        keys = action_manager._shortcuts.get(name, []) if name in known else []
        said[" or ".join(map(str, keys)) or "no key"] = action.description
    return said


def _command(action: Action) -> Callable[[ViewerModel], None]:
    def command(viewer: ViewerModel) -> None:
        session = open_session(viewer)
        if session is not None:
            action.act(session)

    return command
