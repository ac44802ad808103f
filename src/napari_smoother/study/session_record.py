"""Everything that was decided and found about a section, to be kept beside its counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_smoother
from napari_smoother.analyses.plain import from_plain, to_plain
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.saved_reference import reference_from_entries, reference_to_entries
from napari_smoother.errors import InputError
from napari_smoother.keys import SESSION, SESSION_FORMAT, SMOOTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section


@dataclass(frozen=True, slots=True, eq=False)
class SessionRecord:
    """What was decided and found about a section, as it was at one moment.

    Parameters
    ----------
    recipe
        Everything that was decided.
    reference
        Cell types that were looked for; None for none.
    results
        What was found and belongs to the recipe, by the name of its analysis: as
        `Analysis.to_keep` has it.
    remark
        Why results of a file are not among them; empty otherwise.
    """

    recipe: Recipe
    reference: Reference | None = None
    results: dict[str, Any] = field(default_factory=dict)
    remark: str = ""

    def to_entries(self, section: Section) -> dict[str, Any]:
        """Return it as entries of ``uns["smoother"]["session"]``.

        Parameters
        ----------
        section
            What it is about: `read_record` gives results for these spots and counts only.
        """
        entries: dict[str, Any] = {
            "format": SESSION_FORMAT,
            "version": napari_smoother.__version__,
            "library": section.library or "",
            "counts": fingerprint(section),
            "recipe": json.dumps(to_plain(self.recipe)),
            "results": self.results,
        }
        if self.reference is not None:
            entries["reference"] = reference_to_entries(self.reference)
        return entries


def read_record(section: Section) -> SessionRecord | None:
    """Return the record that came with a section.

    Parameters
    ----------
    section
        As it was read, with the entries in its ``uns``.

    Returns
    -------
    SessionRecord or None
        None where there is none for this section of the file.

    Raises
    ------
    InputError
        If it is there and cannot be read.
    """
    smoother: Any = section.adata.uns.get(SMOOTHER, {})
    entries: Any = smoother.get(SESSION) if hasattr(smoother, "get") else None
    if not hasattr(entries, "items"):
        return _of_version_0_1(smoother)
    if str(entries.get("library", "")) != (section.library or ""):
        return None
    return record_from_entries(entries, section)


def record_from_entries(entries: Mapping[str, Any], section: Section) -> SessionRecord:
    """Return the record of a section; see `SessionRecord.to_entries`.

    Raises
    ------
    InputError
        If entries were changed by something else.
    """
    where = f'{section.name}, uns["{SMOOTHER}"]["{SESSION}"]'
    try:
        plain = json.loads(entries["recipe"])
        recipe = from_plain(Recipe, plain, "recipe")
        if recipe.regions.n_spots not in (None, section.n_spots):
            raise ValueError("its regions are of other spots")
        reference = None
        if "reference" in entries:
            reference = reference_from_entries(entries["reference"])
        remark, results = "", {}
        if entries["counts"] == fingerprint(section):
            results = {str(name): kept for name, kept in entries.get("results", {}).items()}
        elif entries.get("results"):
            remark = (
                f"Spots or counts of {section.name} are others than when it was saved: what was "
                "found then is found anew."
            )
    except Exception as fault:  # written over by anything
        raise InputError(
            f"What was saved of the last session cannot be read: {fault}",
            where=where,
            remedy="The section is open with the present settings; save to replace it",
        ) from fault
    return SessionRecord(recipe, reference, results, remark)


def fingerprint(section: Section) -> str:
    """Return a text that is the same for the same spots, positions, genes and counts only.

    Of the counts the totals of spots and of genes are compared, not every entry.
    """
    counts: Any = section.adata.X
    digest = hashlib.blake2b(digest_size=16)
    for part in (
        section.positions,
        np.asarray(counts.sum(axis=1), dtype=np.float64),
        np.asarray(counts.sum(axis=0), dtype=np.float64),
    ):
        digest.update(np.ascontiguousarray(part).tobytes())
    for names in (section.adata.obs_names, section.adata.var_names):
        digest.update("\n".join(map(str, names)).encode(errors="surrogatepass"))
    return digest.hexdigest()


def _of_version_0_1(smoother: Any) -> SessionRecord | None:
    """Return settings and regions of a file that version 0.1 wrote; it kept nothing else."""
    if not hasattr(smoother, "get") or not hasattr(smoother.get("settings"), "items"):
        return None
    try:
        plain = _plain(smoother["settings"])
        graph = {**plain["graph"]}
        if "boundary_connectivity" in plain:
            graph["boundary_connectivity"] = plain["boundary_connectivity"]
        deconvolution = {**plain["deconvolution"]}
        if "lambda_spatial_loss" in deconvolution:
            deconvolution["lambda_"] = deconvolution.pop("lambda_spatial_loss")
        drawn = _plain(smoother.get("regions", {}))
        names, colours = drawn.get("names", []), drawn.get("colours", [])
        regions = {
            "classes": [
                {"name": name, "colour": colour}
                for name, colour in zip(names, colours, strict=True)
            ],
            "shapes": [drawn["shapes"][key] for key in sorted(drawn.get("shapes", {}))],
        }
        recipe = {"graph": graph, "deconvolution": deconvolution, "regions": regions}
        return SessionRecord(from_plain(Recipe, recipe))
    except Exception as fault:
        raise InputError(
            f"Settings and regions in the file cannot be read: {fault}",
            where=f'uns["{SMOOTHER}"]',
            remedy="The section is open with the present settings; save to replace them",
        ) from fault


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
