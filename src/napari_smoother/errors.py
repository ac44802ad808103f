"""The errors a user can mend: each says what was wrong, where, and what to do."""

LONGEST = 600
"""Characters of a part of a message: what is wrong may be a value of any length."""


class InputError(ValueError):
    """Input that cannot be used as it is.

    Parameters
    ----------
    problem
        What was wrong, as a sentence without its full stop.
    where
        The file, field, gene or layer it was found in.
    remedy
        What the user can do about it, as a sentence without its full stop.
    """

    def __init__(self, problem: str, *, where: str, remedy: str) -> None:
        self.problem, self.where, self.remedy = map(_shortened, (problem, where, remedy))
        super().__init__(f"{self.problem} ({self.where}). {self.remedy}.")


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class Cancelled(Exception):
    """Work stopped because its caller asked for it; nothing was changed."""


def require(fulfilled: bool, problem: str, where: str, remedy: str) -> None:
    """Refuse input unless a condition holds.

    Raises
    ------
    InputError
        If it does not.
    """
    if not fulfilled:
        raise InputError(problem, where=where, remedy=remedy)
