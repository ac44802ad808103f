"""What went wrong, told as a napari notification."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_info, show_warning

from napari_smoother.errors import InputError


def tell_error(error: BaseException) -> None:
    """Show an error: one the user can mend as a warning, any other with its traceback."""
    if isinstance(error, InputError):
        tell_warning(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def tell_warning(message: str) -> None:
    """Show something the user should know about data that were opened all the same."""
    show_warning(message)


def tell(message: str) -> None:
    """Show a message."""
    show_info(message)
