"""What is said of a file that cannot be read."""

from remjax.errors import InputError


def reason(error: Exception) -> str:
    """What an exception says, in one line of at most 200 characters."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]


def damaged(error: Exception) -> InputError:
    """What a reader's exception means to who gave the file."""
    return InputError(f"damaged, or of another format ({reason(error)}): save it again")
