"""The one exception for what a user can mend."""


class InputError(ValueError):
    """What was asked for cannot be done; the one-line message names the cause and the mend.

    The library raises it for arguments and files that a user chose; the binaries print its message
    on standard error and exit with code 2. Mistakes inside the library raise other errors.
    """
