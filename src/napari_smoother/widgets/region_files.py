"""Regions from files and into files: GeoJSON of QuPath, and tables of barcodes of Loupe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from napari_smoother.analyses import region_edits
from napari_smoother.analyses.region_columns import class_texts, texts_for_none
from napari_smoother.analyses.regions import RegionClass, RegionShape
from napari_smoother.io.loupe_classes import (
    BarcodeClasses,
    read_loupe_classes,
    write_loupe_classes,
)
from napari_smoother.io.regions_geojson import (
    NamedPolygon,
    read_regions_geojson,
    write_regions_geojson,
)
from napari_smoother.layers import region_shapes
from napari_smoother.layers.region_effects import next_colour
from napari_smoother.widgets.notices import tell, tell_warning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_smoother.analyses.regions import Colour, Regions
    from napari_smoother.widgets.session import Session

TO_READ = "Regions (*.geojson *.json *.csv)"
TO_WRITE = "Outlines, GeoJSON (*.geojson);;Spots, for Loupe (*.csv)"
CATEGORY = "region"
"""What regions are called together in Loupe."""


def import_regions(session: Session, path: Path) -> None:
    """Add the areas of a GeoJSON file, or the classes of a table of barcodes, to the regions."""
    if path.suffix.lower() == ".csv":
        _import_classes(session, path)
    else:
        _import_outlines(session, path)


def _import_outlines(session: Session, path: Path) -> None:
    """Add areas to the regions, and tell where they hold no spot."""

    def use(polygons: tuple[NamedPolygon, ...]) -> None:
        regions = session.study.regions
        free = {polygon.name for polygon in polygons if not polygon.locked}
        for polygon in polygons:
            if polygon.name not in regions.names:
                colour = None if polygon.colour is None else _from_bytes(polygon.colour)
                regions = _with_class(regions, polygon.name, colour, polygon.name not in free)
        added = [
            RegionShape.around(p.name, p.geometry, identity=p.identity, title=p.title)
            for p in polygons
        ]
        remark = session.outlines.add(path.name, regions, added)
        if remark:
            tell_warning(remark)

    session.load(lambda cancelled: read_regions_geojson(path), use, f"reading {path.name}")


def _import_classes(session: Session, path: Path) -> None:
    """Assign spots to the regions that a table names."""
    section = session.study.section
    if section is None:
        return
    barcodes = [str(name) for name in section.adata.obs_names]

    def use(found: BarcodeClasses) -> None:
        study = session.study
        if study.section is not section:
            return
        names = pd.Series(found.names, name=found.category, dtype=object)
        texts = class_texts(names)
        regions = study.regions
        for code, name in enumerate(texts):
            if not name:
                continue
            if name not in regions.names:
                regions = _with_class(regions, name, None, False)
            regions = region_edits.assigned(regions, name, found.codes == code, study.spots)
        study.regions = regions
        remarks = []
        if found.unknown:
            remarks.append(
                f"the section does not have {len(found.unknown):,} of its barcodes, such as "
                f"{found.unknown[0]}"
            )
        none = texts_for_none(names)
        if none:
            remarks.append(f"spots of {', '.join(map(repr, none))} are in no region")
        if remarks:
            tell_warning(f"{path.name}: {'; '.join(remarks)}.")

    session.load(lambda cancelled: read_loupe_classes(path, barcodes), use, f"reading {path.name}")


def export_regions(session: Session, path: Path) -> None:
    """Write the regions: outlines to GeoJSON, or the spots in them to a table for Loupe (.csv).

    Regions without an outline, such as those taken from a column, are told where these are
    written.
    """
    if path.suffix.lower() == ".csv":
        _export_classes(session, path)
        return
    if path.suffix.lower() not in (".geojson", ".json"):
        path = path.with_name(path.name + ".geojson")
    regions = session.study.regions
    colours = {region.name: region.colour for region in regions.classes}
    locked = {region.name for region in regions.classes if region.locked}
    polygons = region_shapes.polygons(regions.shapes, colours, locked)
    written = {polygon.name for polygon in polygons}
    without = [name for name in regions.names if name not in written]
    if without:
        tell_warning(
            f"{path.name} is written without {', '.join(without[:3])}"
            f"{', …' if len(without) > 3 else ''}: "
            f"{'these regions have' if len(without) > 1 else 'this region has'} no outline. "
            "A table (.csv) holds the spots of all."
        )
    session.load(
        lambda cancelled: write_regions_geojson(polygons, path),
        partial(_tell_saved, path),
        f"saving {path.name}",
    )


def _export_classes(session: Session, path: Path) -> None:
    study = session.study
    if study.section is None:
        return
    names, codes = study.regions.names, study.region_labels
    barcodes = [str(name) for name in study.section.adata.obs_names]
    session.load(
        lambda cancelled: write_loupe_classes(path, CATEGORY, names, codes, barcodes),
        partial(_tell_saved, path),
        f"saving {path.name}",
    )


def copy_regions(session: Session, place: int) -> None:
    """Bring another open section to the front, with the regions of this one in the same frame.

    Pixels of the two stand for the same micrometres where both scales are known; otherwise the
    frame is that of the pixels.

    Raises
    ------
    InputError
        If the other section has a region of the same name that is locked.
    """
    study = session.study
    section, there = study.section, study.sections[place]
    if section is None or there is section:
        return
    here, other = section.micrometres_per_pixel, there.micrometres_per_pixel
    factor = 1.0 if here is None or other is None else here / other
    copied = region_edits.copied(study.regions, factor, section.positions, there.positions)
    study.switch_to(place)
    study.regions = region_edits.joined(study.regions, copied, study.spots)
    if not (copied.labels(study.spots) >= 0).any():
        tell_warning(
            f"None of the copied regions holds a spot of {there.name}: the two sections lie "
            "elsewhere in their frames."
        )


def _with_class(regions: Regions, name: str, colour: Colour | None, locked: bool) -> Regions:
    shade = next_colour(regions) if colour is None else colour
    return regions.with_class(RegionClass(name, shade, locked=locked))


def _from_bytes(colour: Sequence[int]) -> Colour:
    red, green, blue = (channel / 255 for channel in colour)
    return red, green, blue


def _tell_saved(path: Path, nothing: None) -> None:
    tell(f"Saved {path}")
