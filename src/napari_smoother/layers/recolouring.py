"""New colours for every spot of a layer, many times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Points
    from numpy.typing import NDArray


def recolour(layer: Points, colours: NDArray[np.floating]) -> None:
    """Give every spot its colour, n x 4 from 0 to 1.

    napari builds positions, sizes and symbols of all points anew for new colours, a tenth of a
    second for 300,000. Where the points are drawn already only their colours are put in place.
    """
    shades, drawn = np.asarray(colours, dtype=np.float32), _drawn(layer)
    if drawn is None:
        # The change is announced twice, and each announcement rebuilds everything.
        with layer.events.face_color.blocker():
            layer.face_color = shades
        return
    with layer.events.face_color.blocker(), layer._face.events.blocker_all():
        layer.face_color = shades
    markers, attributes = drawn
    attributes["a_bg_color"] = layer._view_face_color
    markers._vbo.set_data(attributes)
    markers.update()


def _drawn(layer: Points) -> tuple[Any, NDArray[Any]] | None:
    """Return what draws a layer and the attributes of its points; None unless there is just one.

    It is among those who listen to the layer. What it keeps of the points is its own affair: if
    that is not as it was in the versions of napari and vispy that are known, there is none.
    """
    found = []
    for callback in layer.events.symbol.callbacks:
        owner = callback[0]() if isinstance(callback, tuple) else None
        markers = getattr(getattr(owner, "node", None), "points_markers", None)
        if markers is not None:
            found.append(markers)
    if len(found) != 1:
        return None
    (markers,) = found
    attributes = getattr(markers, "_data", None)
    if not isinstance(attributes, np.ndarray) or not hasattr(markers, "_vbo"):
        return None
    n_drawn = len(layer._view_indices)
    known = "a_bg_color" in (attributes.dtype.names or ()) and len(attributes) == n_drawn > 0
    return (markers, attributes) if known else None
