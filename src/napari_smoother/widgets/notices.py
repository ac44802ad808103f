"""What went wrong, told as a napari notification."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_info, show_warning

from napari_smoother.errors import InputError


def tell_error(error: BaseException) -> None:
    """Show an error: one the user can mend as a warning, any other with its traceback."""
    if isinstance(error, InputError):
        show_warning(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def tell(message: str) -> None:
    """Show a message."""
    show_info(message)
