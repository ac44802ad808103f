"""What is known of the spot under the pointer, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
from napari_smoother.layers.spot_map import VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Points

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.study.study import Study

MOST_TYPES = 5
LEAST_SHARE = 0.01


def describe_point(layer: Points, place: int, study: Study) -> str:
    """Say what a map shows of a point, and what else is known of its spot.

    Parameters
    ----------
    layer
        The map in front.
    place
        Which of its points.
    study
        What the spots of the map are from.

    Returns
    -------
    str
        A line each for its name, what the map shows, its region, and its composition.
    """
    section = study.section
    if section is None or len(layer.data) != section.n_spots:
        return ""  # points between spots
    lines = [str(section.adata.obs_names[place])]
    values = layer.metadata.get(VALUES)
    if values is not None:
        lines.extend(_shown(values, place))
    region = int(study.region_labels[place]) if study.regions.classes else -1
    if region >= 0:
        lines.append(f"region: {study.regions.classes[region].name}")
    if study.composition is not None:
        lines.extend(composition_of(study.composition, place))
    return "\n".join(lines)


def composition_of(composition: Composition, spot: int) -> Sequence[str]:
    """Return the most abundant types of a spot, with one standard deviation where it is known."""
    shares = composition.proportions[spot]
    if np.isnan(shares).any():
        return ["no counts: no composition"]
    deviation = composition.deviation
    lines = []
    for column in np.argsort(-shares, kind="stable")[:MOST_TYPES]:
        if shares[column] < LEAST_SHARE:
            break
        line = f"{shares[column]:.2f}"
        if deviation is not None:
            line += f" ± {deviation.proportion_deviation[spot, column]:.2f}"
        lines.append(f"{line}  {composition.types[column]}")
    return lines


def _shown(values: Numbers | Classes | Mixture, place: int) -> list[str]:
    if isinstance(values, Mixture):
        named = zip(values.names, values.values[place], strict=True)
        return [f"{name}: {_as_text(value)}" for name, value in named]
    if isinstance(values, Numbers):
        return [f"{values.quantity}: {_as_text(values.values[place])}"]
    code = values.codes[place]
    return [f"{values.quantity}: {values.names[code] if code >= 0 else 'none'}"]


def _as_text(value: float) -> str:
    return "no value" if np.isnan(value) else f"{value:.4g}"
