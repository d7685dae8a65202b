"""How long the stages of one request took; each stage writes its own seconds."""

import time


class Timing:
    """Seconds of one inference request; 0 for a stage that it did not meet.

    ``decode_began`` is a moment of ``time.monotonic``, ``rows`` counts those of the request, and
    ``run`` says of the run that it was part of how many rows that had in all, when it began, and
    for how many seconds it went on; None before it has ended well.
    """

    __slots__ = ("decode_began", "decode_s", "infer_s", "queue_s", "rows", "run")

    def __init__(self) -> None:
        self.decode_began = time.monotonic()
        self.decode_s = 0.0
        self.queue_s = 0.0
        self.infer_s = 0.0
        self.rows = 0
        self.run: tuple[int, float, float] | None = None

    def server_timing(self) -> bytes:
        """Return the value of the header ``Server-Timing`` (W3C Server Timing), in milliseconds."""
        return b"decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f" % (
            self.decode_s * 1e3,
            self.queue_s * 1e3,
            self.infer_s * 1e3,
        )
