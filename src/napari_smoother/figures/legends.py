"""Which keys explain which panels: those alike are drawn once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_smoother.figures.keys import Key, key_drawing
from napari_smoother.figures.legend import Legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.figures.panels import (
        ClassKey,
        EdgeOverlay,
        NumberKey,
        Panel,
        RegionOutline,
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """What explains the panels of a figure.

    Parameters
    ----------
    of_panels
        Beside or below each panel.
    common
        Beside or below all of them.
    """

    of_panels: tuple[tuple[Key, ...], ...]
    common: tuple[Key, ...] = ()


def keys_of(
    panels: Sequence[Panel],
    edges: EdgeOverlay | None,
    outlines: Sequence[RegionOutline],
    letters: Sequence[str],
    columns: int,
    page: tuple[float, float, float],
) -> Keys:
    """Find what explains each panel, and all of them.

    Panels of the same key share one: where all have it, it is common; where some have it, the
    last of these in the row of the first has it, with the letters of all of them.

    Parameters
    ----------
    panels
        In reading order.
    edges, outlines
        Drawn in all panels.
    letters
        Of the panels; empty for none.
    columns
        Panels beside each other.
    page
        Red, green, blue of the page.
    """
    sharing: dict[NumberKey | ClassKey, list[int]] = {}
    for number, panel in enumerate(panels):
        if panel.key is not None:
            sharing.setdefault(panel.key, []).append(number)
    stacks: list[list[Key]] = [[] for _ in panels]
    common: list[Key] = []
    for key, numbers in sharing.items():
        if len(numbers) == len(panels) > 1:
            common.append(key_drawing(key, page=page))
            continue
        row = numbers[0] // columns
        place = max(number for number in numbers if number // columns == row)
        told = ", ".join(letters[number] for number in numbers if letters[number])
        if len(numbers) > 1 and told:
            key = replace(key, quantity=f"{key.quantity} ({told})")
        stacks[place].append(key_drawing(key, page=page))
    names = dict.fromkeys((outline.name, outline.colour) for outline in outlines)
    shared = common if common else stacks[0]
    if names:
        shared.append(Legend("Regions", tuple(names), lines=True, page=page))
    if edges is not None and edges.key is not None:
        shared.append(key_drawing(edges.key, lines=True, page=page))
    return Keys(tuple(map(tuple, stacks)), tuple(common))
