"""From quantities to the colours of spots and their key, for the screen and for print."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
from napari_smoother.figures.colours import (
    MISSING,
    categorical_palette,
    map_classes,
    map_numbers,
    percentile_limits,
)
from napari_smoother.figures.panels import ClassKey, NumberKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = NumberKey | ClassKey
Colouring = tuple["NDArray[np.floating]", Key]

PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What is painted on spots, and how.

    Parameters
    ----------
    values
        Of every spot.
    colormap
        Of numbers.
    limits
        Numbers at the ends of the colour map; found by `percentiles` where they are None.
    percentiles
        Of numbers, or of each channel of a mixture.
    palette
        Of classes, n x 4; their own, or else ours, where it is None.
    missing_name
        What the legend calls spots without a class.
    scale
        What the numbers are apart from what they are of, "proportion": pictures of one scale can
        be compared. Empty where they cannot.
    """

    values: Numbers | Classes | Mixture
    colormap: str = "viridis"
    limits: tuple[float, float] | None = None
    percentiles: tuple[float, float] = PERCENTILES
    palette: NDArray[np.floating] | None = None
    missing_name: str = "no value"
    scale: str = ""

    @property
    def is_numbers(self) -> bool:
        """Whether its key is a colour bar."""
        return isinstance(self.values, Numbers)

    def found_limits(self) -> tuple[float, float]:
        """Return the numbers at the ends of the colour map; of numbers only."""
        assert isinstance(self.values, Numbers)
        return self.limits or percentile_limits(self.values.values, *self.percentiles)

    def colours(self) -> Colouring:
        """Return the colour of each spot (n x 4) and the key to them."""
        if isinstance(self.values, Classes):
            return colour_classes(self.values, self.palette, missing_name=self.missing_name)
        if isinstance(self.values, Mixture):
            return colour_mixture(self.values, percentiles=self.percentiles)
        return colour_numbers(self.values, colormap=self.colormap, limits=self.found_limits())


def proportion_picture(numbers: Numbers) -> Picture:
    """Return the picture of a proportion.

    The scale runs from 0 to the largest proportion rounded up to a twentieth, so that it stays
    where it is while a slider moves a little.
    """
    largest = np.nanmax(numbers.values, initial=0.0)
    high = max(np.ceil(20 * float(largest) - 1e-9) / 20, 0.05)
    return Picture(numbers, limits=(0.0, high), scale="proportion")


def with_common_limits(pictures: list[Picture]) -> list[Picture]:
    """Return pictures of which those of one scale share their limits, and so their key."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        if picture.scale and isinstance(picture.values, Numbers):
            groups.setdefault(picture.scale, []).append(picture)
    common = {}
    for scale, group in groups.items():
        if len(group) > 1:
            found = np.array([picture.found_limits() for picture in group])
            common[scale] = (float(found[:, 0].min()), float(found[:, 1].max()))
    return [_limited(each, common.get(each.scale)) for each in pictures]


def _limited(picture: Picture, limits: tuple[float, float] | None) -> Picture:
    if limits is None or not isinstance(picture.values, Numbers):
        return picture
    values = Numbers(picture.scale, picture.values.values)
    return replace(picture, values=values, limits=limits)


def colour_numbers(
    numbers: Numbers,
    *,
    colormap: str,
    percentiles: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> tuple[NDArray[np.floating], NumberKey]:
    """Return the colour of each spot (n x 4) and the key to them.

    Parameters
    ----------
    numbers
        What to show.
    colormap
        Name of the colour map.
    percentiles
        Of the values, at the ends of the colour map; not used when `limits` are given.
    limits
        Values at the ends of the colour map.
    """
    low, high = limits or percentile_limits(numbers.values, *(percentiles or (0.0, 100.0)))
    colours = map_numbers(numbers.values, low, high, colormap)
    missing = bool(np.isnan(numbers.values).any())
    return colours, NumberKey(numbers.quantity, float(low), float(high), colormap, missing)


def colour_classes(
    classes: Classes,
    palette: NDArray[np.floating] | None = None,
    *,
    missing_name: str = "no value",
) -> tuple[NDArray[np.floating], ClassKey]:
    """Return the colour of each spot (n x 4) and the key to them.

    Without a palette classes have the colours they bring along, or else ours.
    """
    if palette is None:
        palette = classes.palette
    if palette is None:
        palette = categorical_palette(len(classes.names))
    pairs = tuple(
        (name, (float(red), float(green), float(blue), float(alpha)))
        for name, (red, green, blue, alpha) in zip(classes.names, palette, strict=True)
    )
    missing = bool((classes.codes < 0).any())
    key = ClassKey(classes.quantity, pairs, missing, missing_name)
    return map_classes(classes.codes, palette), key


def colour_mixture(
    mixture: Mixture, *, percentiles: tuple[float, float]
) -> tuple[NDArray[np.floating], ClassKey]:
    """Return the colour of each spot (n x 4), and a key that says what each channel is.

    Each channel is dark at the lower and full at the upper percentile of its values.
    """
    colours = np.ones((len(mixture.values), 4))
    channels = []
    pure = ((1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0))
    for channel, name in enumerate(mixture.names):
        values = mixture.values[:, channel]
        low, high = percentile_limits(values, *percentiles)
        colours[:, channel] = np.clip((values - low) / (high - low), 0.0, 1.0)
        channels.append((f"{name}: {low:.3g} to {high:.3g}", pure[channel]))
    missing = np.isnan(mixture.values).any(axis=1)
    colours[missing] = MISSING
    return colours, ClassKey(mixture.quantity, tuple(channels), bool(missing.any()))
