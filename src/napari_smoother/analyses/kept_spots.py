"""The spots of a section that are analysed, and the way back from them to all.

Whatever is found is found from a section of the kept spots alone, as if the others had never
been in the file, and then laid out over all spots: what is not kept has no value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.errors import require

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_smoother.section import Section

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class KeptSpots:
    """A section, and the section of those of its spots that are analysed.

    Parameters
    ----------
    whole
        n spots.
    section
        The m kept ones, in their order; `whole` itself where all are.
    places
        m: where each of them is among all, ascending.
    """

    whole: Section
    section: Section
    places: NDArray[np.intp]

    @classmethod
    def all_of(cls, section: Section) -> KeptSpots:
        """Return all spots of a section."""
        return cls(section, section, np.arange(section.n_spots))

    @classmethod
    def of(cls, section: Section, mask: NDArray[np.bool_]) -> KeptSpots:
        """Return some spots of a section.

        Parameters
        ----------
        section
            n spots; it is not changed, and what belongs to its genes is shared.
        mask
            n booleans: the kept ones.

        Raises
        ------
        InputError
            If none is kept.
        """
        from anndata import AnnData

        if mask.all():
            return cls.all_of(section)
        places = np.flatnonzero(mask)
        require(
            len(places) > 0,
            f"None of {section.n_spots:,} spots is within the limits",
            f"{section.name}, quality",
            "Widen them, or undo the last change",
        )
        whole = section.adata
        kept = AnnData(
            X=None if whole.X is None else whole.X[places],
            obs=whole.obs.iloc[places].copy(),
            var=whole.var,
            uns=dict(whole.uns),
            obsm={key: _rows(value, places) for key, value in whole.obsm.items()},
            layers={key: value[places] for key, value in whole.layers.items()},
        )
        return cls(section, replace(section, adata=kept), places)

    @property
    def are_all(self) -> bool:
        """Whether all spots are kept."""
        return self.section is self.whole

    @property
    def n_spots(self) -> int:
        """Number of all spots."""
        return self.whole.n_spots

    @property
    def spots(self) -> pd.Index[str]:
        """Names of all spots."""
        names: pd.Index[str] = self.whole.adata.obs_names
        return names

    def among(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return the rows of kept spots, of values of all."""
        return values if self.are_all else values[self.places]

    def over_all(self, values: NDArray[Scalar], missing: Any = np.nan) -> NDArray[Scalar]:
        """Return values of kept spots as those of all.

        Parameters
        ----------
        values
            m, or m x anything.
        missing
            What the others have.
        """
        whole = np.full((self.n_spots, *values.shape[1:]), missing, dtype=values.dtype)
        whole[self.places] = values
        return whole

    def weights_over_all(self, weights: csr_array) -> csr_array:
        """Return the graph of kept spots (m x m) as one of all, where the others have no edge."""
        starts = np.zeros(self.n_spots + 1, dtype=weights.indptr.dtype)
        starts[self.places + 1] = np.diff(weights.indptr)
        return csr_array(
            (
                weights.data,
                self.places.astype(weights.indices.dtype)[weights.indices],
                np.cumsum(starts, dtype=starts.dtype),
            ),
            shape=(self.n_spots, self.n_spots),
        )


def _rows(values: Any, places: NDArray[np.intp]) -> Any:
    return values.iloc[places] if hasattr(values, "iloc") else values[places]
