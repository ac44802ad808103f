"""The errors a user can mend: each says what was wrong, where, and what to do."""


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
        self.problem = problem
        self.where = where
        self.remedy = remedy
        super().__init__(f"{problem} ({where}). {remedy}.")


class Cancelled(Exception):
    """Work stopped because its caller asked for it; nothing was changed."""
