"""Arguments of gradient descent in scripts for other packages; exact solvers ignore them."""

from __future__ import annotations

import warnings
from typing import Any

TRAINING_SETTINGS = frozenset(
    {
        "lr", "max_epochs", "patience", "tol", "init_with_svd", "clear_logs",
        "verbose", "quiet", "quite",
    }
)  # fmt: skip
"""``quite`` is spelt as scripts spell it."""

SILENT = frozenset({"verbose", "quiet", "quite", "clear_logs"})


def ignore_training(training: dict[str, Any], method: str) -> None:
    """Warn about settings that have no meaning where nothing is trained.

    Raises
    ------
    TypeError
        If one of them is not such a setting.

    Warns
    -----
    UserWarning
        Naming those that would have changed the result elsewhere.
    """
    unknown = sorted(set(training) - TRAINING_SETTINGS)
    if unknown:
        raise TypeError(f"{method}() got an unexpected keyword argument {unknown[0]!r}")
    told = sorted(set(training) - SILENT)
    if told:
        warnings.warn(
            f"Nothing is trained here, so {', '.join(told)} is ignored; "
            "use `tolerance` to ask for a more exact optimum",
            UserWarning,
            stacklevel=3,
        )
