"""What a start and a load leave behind: taken out of the collector's sight, given back."""

import ctypes
import gc


def settle() -> None:
    """Call what is there now no garbage, for good, and look for garbage from now on.

    A full collection goes through everything that was ever loaded, for a tenth of a second in
    which nothing is answered; what stays for the life of the process need not be looked at.
    """
    gc.freeze()
    gc.enable()


def give_back() -> None:
    """Give memory that the C library keeps for later back to the system, where it can.

    Opening a model leaves holes as large as its file: the file itself, and its weights before
    they were packed.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
