"""What File > Save of napari calls for our layers."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Layer

from napari_smoother.analyses.recipe import Recipe
from napari_smoother.errors import InputError
from napari_smoother.io.h5ad import write_h5ad
from napari_smoother.io.regions_geojson import write_regions_geojson
from napari_smoother.io.spot_table import write_spot_table
from napari_smoother.layers import region_shapes, spot_map, tissue
from napari_smoother.study.annotated import Findings, annotate, findings_of
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.widgets.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_smoother.section import Section
    from napari_smoother.widgets.session import Session


@contextmanager
def told_by_napari() -> Iterator[None]:
    """Raise what the user can mend as an error of the file.

    A ValueError, such as an `InputError`, napari takes for a writer that is not there.
    """
    try:
        yield
    except InputError as error:
        raise OSError(str(error)) from error


@told_by_napari()
def write_regions(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write what is drawn in a layer of shapes to GeoJSON, as QuPath reads it.

    Raises
    ------
    OSError
        If no shape encloses an area, or the file cannot be written.

    Warns
    -----
    UserWarning
        Where lines and paths are left out.
    """
    layer = Layer.create(data, attributes, "shapes")
    target = _ending(path, ".geojson", ".json")
    polygons, n_others = region_shapes.polygons_of(layer)
    if not polygons:
        raise InputError(
            "No shape encloses an area",
            where=f"layer {layer.name}",
            remedy="Draw polygons, rectangles or ellipses",
        )
    write_regions_geojson(polygons, target)
    if n_others:
        warnings.warn(
            f"{target} is written without {n_others} of {len(layer.data)} shapes: lines and "
            "paths enclose no area.",
            stacklevel=2,
        )
    return [str(target)]


@told_by_napari()
def write_table(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write what a layer knows of each spot as comma-separated values.

    Raises
    ------
    OSError
        If points are no spots, or the file cannot be written.
    """
    table = spot_map.table_of(Layer.create(data, attributes, "points"))
    target = _ending(path, ".csv")
    write_spot_table(table, target)
    return [str(target)]


@told_by_napari()
def write_section(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the section that spots are of to an .h5ad file.

    With everything that was found, where a page works on it, and the features that were added
    to the layer.

    Raises
    ------
    OSError
        If points are not those of a section, results do not belong to the settings, or the file
        cannot be written.
    """
    layer = Layer.create(data, attributes, "points")
    section = tissue.section_of(layer)
    if section is None:
        raise InputError(
            "The points are not the spots of a section",
            where=f"layer {layer.name}",
            remedy="Select the layer of the spots, or save a table (.csv)",
        )
    session = _session_of(section)
    annotated = annotate(
        _nothing_found(section) if session is None else findings_of(session.study)
    )
    shown = (tissue.SPOT_FEATURE, *layer.metadata.get(spot_map.SHOWN, ()))
    for name, column in layer.features.items():
        if name not in shown and name not in annotated.obs:
            annotated.obs[name] = column.to_numpy()
            annotated.results.setdefault("obs", []).append(str(name))
    target = _ending(path, ".h5ad")
    if session is None:
        write_h5ad(annotated, target)
    else:
        session.wait_for(lambda cancelled: write_h5ad(annotated, target), f"saving {target.name}")
    return [str(target)]


def _session_of(section: Section) -> Session | None:
    """Return the session of the present viewer, if it works on a section."""
    viewer = napari.current_viewer()
    session = None if viewer is None else open_session(viewer)
    return session if session is not None and session.study.section is section else None


def _nothing_found(section: Section) -> Findings:
    labels = np.full(section.n_spots, -1, dtype=np.int32)
    return Findings(section, labels, (), frozenset(), SessionRecord(Recipe()))


def _ending(path: str, *endings: str) -> Path:
    """Return a path that ends in one of these, the first of them where it ends in none."""
    if path.lower().endswith(endings):
        return Path(path)
    return Path(path + endings[0])
