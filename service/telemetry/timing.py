"""How long the stages of one request took; each stage writes its own seconds."""


class Timing:
    """Seconds of one inference request; 0 for a stage that it did not meet."""

    __slots__ = ("decode_s", "infer_s", "queue_s")

    def __init__(self) -> None:
        self.decode_s = 0.0
        self.queue_s = 0.0
        self.infer_s = 0.0

    def server_timing(self) -> bytes:
        """Return the value of the header ``Server-Timing`` (W3C Server Timing), in milliseconds."""
        return b"decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f" % (
            self.decode_s * 1e3,
            self.queue_s * 1e3,
            self.infer_s * 1e3,
        )
