"""Colours that a file has for the classes of a column, where scanpy keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_palette(
    uns: Mapping[str, Any], column: str, classes: Sequence[str], *, where: str
) -> NDArray[np.float32] | None:
    """Return the colours in ``uns["<column>_colors"]``.

    Parameters
    ----------
    uns
        Of an AnnData.
    column
        Of its obs.
    classes
        All categories of the column in their order, those without a spot included.
    where
        What to call the file in messages.

    Returns
    -------
    numpy.ndarray or None
        Classes x 4, opaque; None where the file has none for this column.

    Raises
    ------
    InputError
        If there are fewer colours than classes, so that none can be told to be whose, or one is
        no colour.
    """
    key = f"{column}_colors"
    if key not in uns:
        return None
    stored = uns[key]
    if isinstance(stored, Mapping):
        by_name = {str(name): colour for name, colour in stored.items()}
        colours = [by_name[name] for name in classes if name in by_name]
    else:
        several = np.iterable(stored) and not isinstance(stored, str | bytes)
        colours = list(stored)[: len(classes)] if several else []
    if len(colours) < len(classes):
        raise InputError(
            f"There are {len(colours)} colours for {len(classes)} classes, so they are not used",
            where=f'{where}, uns["{key}"]',
            remedy=f'Give one for each category of obs["{column}"], in their order',
        )
    # Opaque: a spot would otherwise have another colour on the tissue than in the key.
    palette = np.ones((len(classes), 4), np.float32)
    for place, colour in enumerate(colours):
        try:
            palette[place, :3] = _channels(colour)
        except (TypeError, ValueError) as fault:
            raise InputError(
                f"{colour!r} is no colour, so the colours are not used",
                where=f'{where}, uns["{key}"]',
                remedy="Give names or codes like #1f77b4, or red, green and blue from 0 to 1",
            ) from fault
    if palette.max(initial=0.0) > 1:  # bytes
        palette[:, :3] /= 255
    return palette


def _channels(colour: Any) -> NDArray[np.float64]:
    """Red, green and blue of a name or code that matplotlib knows, or of 3 or 4 numbers."""
    from matplotlib.colors import to_rgb

    if isinstance(colour, bytes):
        colour = colour.decode(errors="replace")
    if isinstance(colour, str):
        return np.array(to_rgb(colour))
    channels = np.asarray(colour, dtype=np.float64)
    if channels.shape not in ((3,), (4,)) or not ((channels >= 0) & (channels <= 255)).all():
        raise ValueError("neither 3 nor 4 numbers of a colour")
    return channels[:3]
