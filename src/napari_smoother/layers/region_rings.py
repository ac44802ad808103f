"""The outlines of regions as shapes that a hand can move, and read back as they are then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.regions import RegionShape
from napari_smoother.layers import region_shapes
from napari_smoother.layers.kept_shapes import KeptShapes, Line
from napari_smoother.layers.region_shapes import (
    AREAS,
    OUTLINE_FEATURE,
    PART_FEATURE,
    REGION_FEATURE,
)

if TYPE_CHECKING:
    from napari.layers import Shapes
    from numpy.typing import NDArray

    from napari_smoother.analyses.regions import Regions
    from napari_smoother.layers.coordinates import World


class RegionRings:
    """Outlines and holes of the regions that may be changed by hand, a shape for each.

    Those of hidden and of locked regions are not in the layer.

    Parameters
    ----------
    layer
        Of `region_shapes.regions_layer`.
    world
        Of the section.
    """

    def __init__(self, layer: Shapes, world: World) -> None:
        self.layer = layer
        self._world = world
        self._width = float(layer.current_edge_width)
        self._kept = KeptShapes(layer, "polygon")
        # What the layer had as data when the corners were read: its own arrays change in place.
        self._raw: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._there: frozenset[int] = frozenset()

    def show(self, regions: Regions) -> None:
        """Make the layer show these regions."""
        self._kept.show(self._lines(regions))
        self.number(regions)

    def number(self, regions: Regions) -> None:
        """Tell the shapes, which are those of these regions, which outline each is."""
        rows = {
            id(ring): (shape.region, place, part)
            for place, shape in enumerate(regions.shapes)
            for part, ring in enumerate(shape.rings)
        }
        numbered = [rows[id(line.corners)] for line in self._kept.lines]
        features = region_shapes.features_of(numbered)
        if not features.equals(self.layer.features):
            self.layer.features = features
        self._there = frozenset(place for _, place, _ in numbered)
        data = self.layer.data
        self._raw = {
            id(line.corners): self._raw.get(id(line.corners), (line.corners, np.array(raw)))
            for line, raw in zip(self._kept.lines, data, strict=True)
        }

    @property
    def is_read(self) -> bool:
        """Whether nothing came or went since the layer was read."""
        return len(self.layer.data) == len(self._kept.lines)

    def misses(self, regions: Regions) -> bool:
        """Whether the layer shows anything else than these regions."""
        return self._kept.misses(self._lines(regions))

    def read(self, regions: Regions) -> tuple[tuple[RegionShape, ...], tuple[RegionShape, ...]]:
        """Return the outlines as they are in the layer now.

        Parameters
        ----------
        regions
            That were shown or read last.

        Returns
        -------
        tuple of RegionShape
            Those of the regions that are still there; the same objects where nothing has moved.
        tuple of RegionShape
            Those that were drawn since, whose regions need not be known.
        """
        layer = self.layer
        before = {
            (place, part): ring
            for place, shape in enumerate(regions.shapes)
            for part, ring in enumerate(shape.rings)
        }
        found: dict[tuple[int, int], NDArray[np.float64]] = {}
        new: list[RegionShape] = []
        lines: list[Line] = []
        features = layer.features.iloc[: len(layer.data)]  # napari forgets some of what is gone
        rows = zip(
            layer.data,
            layer.shape_type,
            layer.edge_color,
            layer.edge_width,
            features[REGION_FEATURE],
            features[OUTLINE_FEATURE],
            features[PART_FEATURE],
            strict=True,
        )
        for data, kind, colour, width, region, place, part in rows:
            key = int(place), int(part)
            ring = before.get(key)
            if ring is None or key in found or not self._is_still(ring, data):
                ring = region_shapes.corners_of(layer, self._world, data, str(kind))
                self._raw[id(ring)] = ring, np.array(data)
            red, green, blue, alpha = map(float, colour)
            lines.append(Line(ring, (red, green, blue, alpha), float(width)))
            if str(kind) not in AREAS:
                continue
            if key in before and key not in found:
                found[key] = ring
            else:
                new.append(RegionShape(str(region), ring))
        self._kept.lines = lines
        kept = []
        for place, shape in enumerate(regions.shapes):
            if place not in self._there:
                kept.append(shape)
            elif (place, 0) in found:
                parts = range(1, len(shape.rings))
                holes = tuple(found[place, part] for part in parts if (place, part) in found)
                rings = (found[place, 0], *holes)
                same = len(rings) == len(shape.rings) and all(
                    one is other for one, other in zip(rings, shape.rings, strict=True)
                )
                kept.append(shape if same else replace(shape, vertices=rings[0], holes=holes))
        return tuple(kept), tuple(new)

    def holes_of(self, rows: set[int]) -> set[int]:
        """Return which shapes are the holes of outlines that are among some shapes."""
        features = self.layer.features
        places, parts = features[OUTLINE_FEATURE].to_numpy(), features[PART_FEATURE].to_numpy()
        rims = [places[row] for row in rows if row < len(parts) and parts[row] == 0]
        return set(map(int, np.flatnonzero(np.isin(places, rims) & (parts > 0) & (places >= 0))))

    def _lines(self, regions: Regions) -> list[Line]:
        colours = {}
        for region in regions.classes:
            if region.visible and not region.locked:
                red, green, blue = np.array(region.colour, dtype=np.float32).tolist()  # as napari
                colours[region.name] = (red, green, blue, 1.0)
        return [
            Line(ring, colours[shape.region], self._width)
            for shape in regions.shapes
            if shape.region in colours
            for ring in shape.rings
        ]

    def _is_still(self, ring: NDArray[np.float64], data: NDArray[np.float64]) -> bool:
        known = self._raw.get(id(ring))
        return known is not None and np.array_equal(known[1], data)
