"""The names that genes have in the rows and columns of ``var``, found by what is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

_VERSION = re.compile(r"(ENS[A-Z]*G\d{6,})\.\d+$")
_IDENTIFIER = re.compile(
    r"(?:.+[_\-:])?(?:ENS[A-Z]*[GTP]\d{6,}|FBgn\d{6,}|WBGene\d{6,}|AT[1-5CM]G\d{5}|[NX][MR]_\d+"
    r"|HGNC:\d+|MGI:\d+)(?:\.\d+)?",
    re.IGNORECASE,
)
_HUMAN = re.compile(r"(?:.+[_\-:])?ENSG\d")
_RODENT = re.compile(r"(?:.+[_\-:])?ENS(?:MUS|RNO)G\d")
_SYMBOLS = re.compile(r"symbol|(?:gene|feature).*name|^names?$", re.IGNORECASE)
"""Columns whose title says so hold symbols rather than others that may."""

FEWEST_DISTINCT = 0.5
"""Share of the names in a column that have to differ from each other."""

SAMPLE = 500


def row_names(var: pd.DataFrame) -> pd.Index[str]:
    """Names of the rows, as text."""
    names: pd.Index[str] = pd.Index(var.index.astype(str))
    return names


def without_version(names: pd.Index[str]) -> pd.Index[str]:
    """Names without blanks around them and without the version of an Ensembl identifier."""
    plain = (str(name).strip() for name in names)
    return pd.Index(
        [_VERSION.sub(r"\1", name) if "." in name else name for name in plain], dtype=object
    )


def some_of(names: pd.Index[str]) -> pd.Index[str]:
    """Return some names from everywhere among them, to tell of what kind all are."""
    return names[:: max(len(names) // SAMPLE, 1)]


def alternative_names(var: pd.DataFrame) -> dict[str, pd.Index[str]]:
    """Find the columns of ``var`` that hold other names of the genes, whatever they are called.

    A column of names is text without blanks inside, and tells most genes apart. One that repeats
    the names of another in upper or lower case, as orthologues in another species do, is left
    out: which of the two is right is known from human, mouse or rat identifiers, else the row
    names and what comes first are.

    Parameters
    ----------
    var
        One row a gene.

    Returns
    -------
    dict
        Column -> names, ``""`` where there is none; identifiers first.
    """
    rows = row_names(var)
    found = {}
    for title in var.columns:
        names = _as_names(var[title]) if list(var.columns).count(title) == 1 else None
        if names is not None and not names.equals(rows):
            found[str(title)] = names
    identifiers = {title: names for title, names in found.items() if are_identifiers(names)}
    symbols = {title: names for title, names in found.items() if title not in identifiers}
    for species, upper_case in ((_HUMAN, True), (_RODENT, False)):  # GAD1; Gad1
        if any(_are(species, names) for names in (rows, *identifiers.values())):
            order = sorted(symbols, key=lambda s: _are_upper_case(found[s]) != upper_case)
            symbols = {title: found[title] for title in order}
    known = [] if are_identifiers(rows) else [rows]
    for title, names in list(symbols.items()):
        if any(_differ_in_case(names, other) for other in known):
            del symbols[title]
        else:
            known.append(names)
    return {**identifiers, **symbols}


@dataclass(frozen=True, slots=True, eq=False)
class GeneNames:
    """How genes are shown, and what else they are called.

    Parameters
    ----------
    rows
        Names of the rows of ``var``.
    shown
        Symbols where the rows are identifiers and a column has symbols, else the rows. A symbol of
        several genes has its row name in parentheses.
    others
        Every further spelling.
    """

    rows: pd.Index[str]
    shown: pd.Index[str]
    others: tuple[pd.Index[str], ...]

    @classmethod
    def of(cls, var: pd.DataFrame) -> GeneNames:
        """Find the names of the genes of a ``var``."""
        rows, others = row_names(var), alternative_names(var)
        return cls(rows, _shown(rows, others), tuple(others.values()))

    def find(self, name: str) -> str | None:
        """Return the row name of the one gene that has this name, None if there is none.

        Case counts. Row names go before names that are shown, and these before any other.
        """
        if name in self.rows:
            return name
        for names in (self.shown, *self.others):
            places = np.flatnonzero(names == name)
            if name and len(places) == 1:
                return str(self.rows[places[0]])
        return None

    def label(self, row: str) -> str:
        """Return how the gene of a row is shown."""
        place = self.rows.get_indexer_for(pd.Index([row]))[0]
        return str(self.shown[place]) if place >= 0 else row


def are_identifiers(names: pd.Index[str]) -> bool:
    """Whether most names are identifiers of a database, not symbols."""
    return _are(_IDENTIFIER, names)


def _shown(rows: pd.Index[str], others: dict[str, pd.Index[str]]) -> pd.Index[str]:
    symbols = [(title, names) for title, names in others.items() if not are_identifiers(names)]
    if not symbols or not are_identifiers(rows):
        return rows

    # Symbols are shorter than places on the genome and other names.
    def least(item: tuple[str, pd.Index[str]]) -> tuple[bool, float]:
        lengths = item[1][item[1] != ""].str.len()
        return _SYMBOLS.search(item[0]) is None, float(np.mean(lengths))

    _, names = min(symbols, key=least)
    shown = names.where(names != "", rows)
    several = shown.duplicated(keep=False) & np.asarray(names != "")
    return shown.where(~several, shown + " (" + rows + ")")


def _as_names(column: pd.Series[str]) -> pd.Index[str] | None:
    """Names in a column of text, ``""`` for none; None where it holds anything else."""
    values = column.dtype.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    if not (pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)):
        return None
    names = pd.Index(column.astype(object).where(column.notna(), "").astype(str).str.strip())
    named = names[names != ""]
    sample = some_of(named)
    if not len(sample) or named.nunique() < FEWEST_DISTINCT * len(named):
        return None
    is_name = [bool(re.search(r"[^\W\d]", name)) and not re.search(r"\s", name) for name in sample]
    return names if np.mean(is_name) > 0.5 else None


def _are(pattern: re.Pattern[str], names: pd.Index[str]) -> bool:
    sample = some_of(names[names != ""])
    return bool(len(sample)) and float(np.mean([bool(pattern.match(n)) for n in sample])) > 0.5


def _are_upper_case(names: pd.Index[str]) -> bool:
    return float(np.mean([name == name.upper() for name in some_of(names[names != ""])])) > 0.5


def _differ_in_case(names: pd.Index[str], other: pd.Index[str]) -> bool:
    """Whether most are the same name but for upper and lower case, and few the very same."""
    named = np.flatnonzero((names != "") & (other != ""))
    same = (names == other)[named].sum()
    folded = (names[named].str.casefold() == other[named].str.casefold()).sum()
    return bool(2 * folded > len(named) and 2 * same < folded)
