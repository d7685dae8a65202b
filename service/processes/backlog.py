"""The end of listening, at which nobody is turned away who is already inside.

A socket that is closed resets the connections that wait in its backlog, with the requests in
them; and under load there is never a moment at which none waits. So before it is closed it takes
no connection more, and those that it has are accepted.
"""

import ctypes
import socket
import struct
import sys
from contextlib import suppress

# SO_ATTACH_FILTER of asm-generic/socket.h, which Python does not name.
_ATTACH_FILTER = 26

# A program of the classic Berkeley packet filter (linux/filter.h): operation, jump if true, jump
# if false, operand. It sees a segment from its TCP header on (RFC 9293, 3.1), whose byte 13 has
# the flags; that of SYN begins a connection, and is in no later segment of the client's. A segment
# that is dropped is sent again after a second; then nobody listens, and the client is told so.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte at 13
    (0x45, 1, 0, 0x02),  # is the bit of SYN set?
    (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
    (0x06, 0, 0, 0),  # take nothing of it
)


def take_no_more(listener: socket.socket) -> None:
    """Let no connection begin any more; where a system cannot do that, go on as before.

    Args:
        listener: which still accepts the connections that have begun.
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN)
    kept = ctypes.create_string_buffer(program)  # until the kernel has copied it
    pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(kept))
    with suppress(OSError):  # a sandbox that knows no filters
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, pointer)
