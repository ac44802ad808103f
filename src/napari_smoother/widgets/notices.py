"""What went wrong, told as a napari notification."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_info, show_warning

from napari_smoother.errors import InputError
from napari_smoother.layers.plain_text import as_text


def tell_error(error: BaseException) -> None:
    """Show an error: one the user can mend as a warning, any other with its traceback."""
    if isinstance(error, InputError):
        tell_warning(str(error))
        return
    if as_text(str(error)) != str(error):
        error = RuntimeError(as_text(f"{type(error).__name__}: {error}")).with_traceback(
            error.__traceback__
        )
    notification_manager.receive_error(type(error), error, error.__traceback__)


def tell_warning(message: str) -> None:
    """Show something the user should know about data that were opened all the same."""
    show_warning(as_text(message))


def tell(message: str) -> None:
    """Show a message."""
    show_info(as_text(message))
