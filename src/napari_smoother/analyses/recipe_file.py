"""Recipes as TOML: every setting with its value and what it means."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import tomlkit

import napari_smoother
from napari_smoother.analyses.field_descriptions import describe_fields
from napari_smoother.analyses.plain import from_plain, to_plain
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError
from napari_smoother.keys import safe_text

FORMAT = 1
"""Grows when an older version could not read what is written."""

WIDTH = 96
"""Characters of a line of comment."""

Wanted = Literal[
    "deconvolution", "reduction", "autoencoder", "umap", "imputation", "comparison", "genes"
]


@dataclass(frozen=True, slots=True)
class RunSettings(ComparedByValue):
    """What is done with a recipe.

    Parameters
    ----------
    analyses
        What is found: "deconvolution", "reduction" (spatial components and domains),
        "autoencoder", "umap" (of an embedding), "imputation", "comparison" (of the composition of
        regions, domains or classes), "genes" (ranked by how much they differ between these). The
        graph is always made.
    reference
        File with the cell types to look for: single cells (.h5ad) or a signature table; relative
        to the folder of the recipe. One given on the command line or in a samplesheet comes first.
    cell_type
        Column of single cells with their types, where several may hold them.
    counts
        Where the counts of a section are: "X", "raw" or the name of a layer. They are looked for
        where nothing is said.
    reference_counts
        The same of the reference.
    regions_file
        GeoJSON with the regions, in place of those below.
    regions_column
        Column of obs with the regions, in place of those below.
    """

    analyses: tuple[Wanted, ...] = ("deconvolution",)
    reference: str | None = None
    cell_type: str | None = None
    counts: str | None = None
    reference_counts: str | None = None
    regions_file: str | None = None
    regions_column: str | None = None


@dataclass(frozen=True, slots=True)
class RecipeFile(ComparedByValue):
    """A recipe, and what is done with it.

    Parameters
    ----------
    recipe
        Every setting.
    run
        What is found by them.
    """

    recipe: Recipe = field(default_factory=Recipe)
    run: RunSettings = field(default_factory=RunSettings)


def to_toml(content: RecipeFile) -> str:
    """Return a recipe as TOML, with a comment for each setting.

    All values are written: a default that changes later changes no recipe that was written.

    Parameters
    ----------
    content
        The recipe.

    Returns
    -------
    str
        That `from_toml` reads.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment("A recipe of napari-smoother: napari-smoother run THIS SECTION"))
    document.add("format", tomlkit.item(FORMAT))
    document.add("version", tomlkit.item(napari_smoother.__version__))
    _add_table(document, "run", content.run)
    for part in fields(content.recipe):
        _add_table(document, part.name, getattr(content.recipe, part.name))
    return tomlkit.dumps(document)


def _add_table(parent: Any, name: str, record: Any) -> None:
    texts, table = describe_fields(type(record)), tomlkit.table()
    for part in fields(record):
        value = getattr(record, part.name)
        if is_dataclass(value) or _is_list_of_records(value):
            continue  # behind what is no table
        for line in _lines(texts[part.name]):
            table.add(tomlkit.comment(line))
        if value is None:
            table.add(tomlkit.comment(f"{part.name} ="))
        else:
            table.add(part.name, tomlkit.item(_storable(to_plain(value))))
    for part in fields(record):
        value = getattr(record, part.name)
        if is_dataclass(value):
            _add_table(table, part.name, value)
        elif _is_list_of_records(value):
            table.add(part.name, tomlkit.item([_storable(to_plain(item)) for item in value]))
    parent.add(tomlkit.nl())
    parent.add(name, table)


def _is_list_of_records(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and is_dataclass(value[0])


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return safe_text(value) if isinstance(value, str) else value


def _lines(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines if text else []


def from_toml(text: str, where: str = "recipe") -> RecipeFile:
    """Read a recipe.

    Parameters
    ----------
    text
        TOML; settings that are missing have their defaults.
    where
        What the text is called in errors.

    Returns
    -------
    RecipeFile

    Raises
    ------
    InputError
        If it is no TOML, of a newer format, or a setting is not known or cannot have its value:
        with line and key.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise InputError(
            f"It is no TOML: {fault}", where=where, remedy="Mend that line"
        ) from fault
    form = values.pop("format", FORMAT)
    version = values.pop("version", "")
    if form != FORMAT:
        raise InputError(
            f"The recipe was written by version {version}, in a form ({form}) that this older "
            "version does not know",
            where=where,
            remedy="Install that version or a later one",
        )
    try:
        run = from_plain(RunSettings, values.pop("run", {}), "run")
        recipe = from_plain(Recipe, values, "")
    except InputError as refused:
        key = refused.where.lstrip(".")
        line = _line_of(text, key)
        place = f"{where}, line {line}, {key}" if line else f"{where}, {key}"
        raise InputError(refused.problem, where=place, remedy=refused.remedy) from refused
    return RecipeFile(recipe, run)


def _line_of(text: str, key: str) -> int:
    """Return the line a key stands in, or that of its table; 0 where there is neither."""
    parts = [re.sub(r"\[\d+\]$", "", part) for part in key.split(".")]
    table: list[str] = []
    found = 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            table = [part.strip(" \"'") for part in header[1].split(".")]
            if table == parts[: len(table)]:
                found = number
            if table == parts:
                return number
            continue
        name = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)
        if name and [*table, name[1]] == parts[: len(table) + 1]:
            return number
    return found
