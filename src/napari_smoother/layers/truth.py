"""What a simulated section is known to be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoother.layers import spot_map, tissue
from napari_smoother.study.view import Classes

if TYPE_CHECKING:
    from napari.layers import Points

    from napari_smoother.section import Section

TRUTH = "truth: dominant cell type"


def truth_layer(section: Section) -> Points:
    """Return the type of which each spot of a simulated section has most, not yet visible."""
    proportions = section.adata.obsm["proportions"]
    codes = proportions.to_numpy().argmax(axis=1)
    classes = Classes(TRUTH, codes, tuple(map(str, proportions.columns)))
    layer = tissue.spot_layer(section, tissue.spot_diameter(section), TRUTH)
    layer.face_color = spot_map.colour_classes(classes)[0]
    layer.visible = False
    return layer
