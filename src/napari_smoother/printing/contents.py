"""What a panel can show: from the name in the recipe to the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.figure_settings import (
    AUTOENCODER_DOMAINS,
    DOMAINS,
    DOMINANT_TYPE,
    ON_SCREEN,
    REGIONS,
)
from napari_smoother.analyses.gene_values import SCALE, gene_names
from napari_smoother.analyses.imputed import NAME as IMPUTED
from napari_smoother.analyses.imputed import imputed_numbers
from napari_smoother.analyses.quantities import Classes
from napari_smoother.analyses.shown import View
from napari_smoother.errors import InputError
from napari_smoother.figures.picture import Picture, proportion_picture
from napari_smoother.printing.on_screen import picture_on_screen, region_picture
from napari_smoother.study.view import dominant_types, proportion_of, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.analyses.graph import Graph
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.figures.picture import Colouring
    from napari_smoother.section import Section

PLAIN_SPOT = (0x9E / 255, 0xA8 / 255, 0xB8 / 255, 1.0)
"""Of spots that nothing is shown of."""

DOMAINS_OF = {DOMAINS: "spatial_pca", AUTOENCODER_DOMAINS: "spatial_vae"}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a figure is made of.

    Parameters
    ----------
    section
        The spots.
    recipe
        Everything that was decided.
    labels
        Region of each spot, -1 for none.
    graph, composition
        As they were found, if they were.
    found
        Results of all analyses, by their names.
    painted
        Colours and key on screen, where these are not those of the recipe.
    """

    section: Section
    recipe: Recipe
    labels: NDArray[np.integer]
    graph: Graph | None
    composition: Composition | None
    found: Mapping[str, Any]
    painted: Colouring | None = None


def offered(source: Source) -> tuple[str, ...]:
    """Return the contents that are there beside genes and columns, in the order of the work."""
    names = [ON_SCREEN]
    if source.recipe.regions.classes:
        names.append(REGIONS)
    if source.composition is not None:
        names += [DOMINANT_TYPE, *source.composition.types]
    for name, analysis in DOMAINS_OF.items():
        embedding: Embedding | None = source.found.get(analysis)
        if embedding is not None and embedding.domains is not None:
            names.append(name)
    return tuple(names)


def picture_of(source: Source, content: str) -> Picture:
    """Return the picture of a panel.

    Parameters
    ----------
    source
        What there is.
    content
        As in `FigureSettings.contents`.

    Raises
    ------
    InputError
        If it is not there, as for another section than the one it was chosen for.
    """
    section, composition = source.section, source.composition
    if content == ON_SCREEN:
        picture = picture_on_screen(
            section, source.recipe, source.labels, composition, source.found
        )
        if picture is not None and source.recipe.shown.stage == IMPUTED:
            # Of two pictures beside each other on screen the smoothed one is printed.
            smoothed = imputed_numbers(source.found[IMPUTED])
            both = source.recipe.shown.imputation.what == "both"
            return replace(picture, values=smoothed) if both else picture
        return picture if picture is not None else _plain(section)
    if content == REGIONS:
        picture = region_picture(source.recipe.regions, source.labels)
        if picture is None:
            raise _absent(section, "no regions", "Draw or import some on the Regions page")
        return picture
    if content in DOMAINS_OF:
        embedding: Embedding | None = source.found.get(DOMAINS_OF[content])
        domains = None if embedding is None else embedding.domain_classes()
        if domains is None:
            raise _absent(section, "no domains yet", "Find some on the Reduce page")
        return Picture(domains)
    if composition is not None and content == DOMINANT_TYPE:
        return Picture(dominant_types(composition))
    if composition is not None and content in composition.types:
        return proportion_picture(proportion_of(composition, content))
    if content == DOMINANT_TYPE:
        raise _absent(section, "no composition yet", "Open a reference on the Deconvolve page")
    return _data_picture(section, content, composition)


def _data_picture(section: Section, name: str, composition: Composition | None) -> Picture:
    """Return the picture of an obs column, a gene, or a column of an obsm table."""
    if name in section.adata.obs:
        return Picture(values_of(section, View("obs", name)))
    table, _, column = name.partition(" / ")
    if column and table in section.adata.obsm:
        return Picture(values_of(section, View("obsm", table, column)))
    genes = gene_names(section)
    if genes.find(name) is not None:
        return Picture(values_of(section, View("gene", name)), scale=SCALE)
    types = "" if composition is not None else "cell type (there is no composition yet), "
    raise _absent(
        section,
        f"no {types or 'cell type, '}gene or column of that name",
        "Choose another panel, or leave it for sections that have it",
    )


def _plain(section: Section) -> Picture:
    """Return spots of the plain colour they have on screen."""
    codes = np.zeros(section.n_spots, np.intp)
    return Picture(Classes("", codes, ("spot",)), palette=np.array([PLAIN_SPOT]))


def _absent(section: Section, what: str, remedy: str) -> InputError:
    return InputError(f"{section.name} has {what}", where="figure", remedy=remedy)


def is_there(source: Source, content: str) -> bool:
    """Whether a section has what a panel asks for, without finding its values."""
    adata = source.section.adata
    table = content.partition(" / ")[0]
    return (
        content in offered(source)
        or content in adata.obs
        or (table != content and table in adata.obsm)
        or gene_names(source.section).find(content) is not None
    )
