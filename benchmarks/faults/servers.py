"""The servers as they meet faults: with a deadline, a bound of the queue, and batches.

What each has is set as its documentation says, in the command, in the environment, or by its
program in `benchmarks/serving/peers`; what it does not have stands with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.serving import calls
from benchmarks.serving.servers import BY_NAME, OURS, Server

# Requests that may be in a server at once, where it is told: more than there are in any scenario
# but the overload, for which it is set by what the server was measured to answer.
MOST_REQUESTS = 128
BOUND = "{most}"
MS = 1000
BATCHES = calls.rows_json("/predict_together")


@dataclass(frozen=True)
class Subject:
    """A server and what it has against faults.

    Attributes:
        name: Of the server.
        health: The path that says whether it lives.
        grpc: The name that the model has over gRPC; None where there is none, or no batches in it.
        without: What it lacks that the scenarios are about.
        arguments: Of its command, where that is told the deadline and the bound.
        variables: Of its environment, likewise.
        callers: Its requests, where they are not those of the benchmark of servers.
    """

    name: str
    health: str
    grpc: str | None = None
    without: str = ""
    arguments: Sequence[str] = ()
    variables: Sequence[tuple[str, str]] = ()
    callers: calls.Callers | None = None

    @property
    def bounded(self) -> bool:
        """Whether it is told how many requests may be in it at once."""
        return any(BOUND in text for text in (*self.arguments, *dict(self.variables).values()))

    def server(self, deadline_s: float, most: int = MOST_REQUESTS) -> Server:
        """What starts it.

        Args:
            deadline_s: That a request has, if it can be told.
            most: Requests that may be in it at once, likewise.
        """
        known = BY_NAME[self.name]
        told = {
            "seconds": deadline_s,
            "milliseconds": round(deadline_s * MS),
            "most": most,
        }
        # What is for the server itself, such as its port, is filled in when it starts.
        arguments = [text.format(**told) for text in self.arguments]
        variables = {name: text.format(**told) for name, text in self.variables}
        return replace(
            known,
            callers=self.callers or known.callers,
            arguments=(*known.arguments, *arguments),
            variables={**known.variables, **variables},
        )


LIMITS = (("SERVED_TIMEOUT_S", "{seconds}"), ("SERVED_REQUESTS", BOUND))
SUBJECTS: Sequence[Subject] = (
    Subject(
        OURS,
        "/v2/health/live",
        grpc="{model}",
        variables=(
            ("FOLDSERVE_REQUEST_TIMEOUT_S", "{seconds}"),
            ("FOLDSERVE_GRPC_PORT", "{{next_port}}"),
        ),
    ),
    Subject("mosec", "/", arguments=("--timeout", "{milliseconds}", "--capacity", BOUND)),
    Subject("mlserver", "/v2/health/live", grpc="served", without="deadline, bound"),
    Subject("litserve", "/health", without="bound", variables=LIMITS[:1]),
    Subject("bentoml", "/livez", variables=LIMITS, callers={"json": BATCHES}),
    Subject("ray", "/-/healthz", variables=LIMITS),
    Subject("kserve", "/v2/health/live", without="batches, deadline, bound"),
    Subject("fastapi-tuned", "/health", without="batches, deadline, bound"),
)
BY_SUBJECT = {subject.name: subject for subject in SUBJECTS}
