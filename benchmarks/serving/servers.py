"""The servers that are compared: what starts each, and what its requests look like.

Each runs the network in two processes with one thread each, for two cores.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.serving import calls, environments
from benchmarks.serving.models import ServedModel

OURS = "ours"
WORKERS = 2
BATCH = 32
INFER = "/v2/models/{}/infer"
PEERS_INFER = "/v2/models/served/infer"  # peers serve the one model under this name


@dataclass(frozen=True)
class Server:
    """One line of the table.

    Attributes:
        name: In the table and on the command line.
        package: The distribution whose version is told.
        module: That is run.
        callers: Its requests, by format; those that are missing it does not speak.
        peer: Whose virtual environment it runs in; None: this one.
        arguments: Of the command.
        variables: Of the environment.
    """

    name: str
    package: str
    module: str
    callers: calls.Callers
    peer: str | None = None
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Of its package."""
        if self.peer is None:
            return metadata.version(self.package)
        return environments.version(self.peer, self.package)

    def python(self, folder: Path) -> Path:
        """The interpreter that has it, installed where it is missing.

        Raises:
            NoEnvironmentError: It cannot be installed.
        """
        if self.peer is None:
            return Path(sys.executable)
        return environments.provide(self.peer, folder)

    def command(self, python: Path, port: int) -> list[str]:
        """What starts it."""
        arguments = [argument.format(port=port) for argument in self.arguments]
        return [str(python), "-m", self.module, *arguments]

    def environment(self, model: ServedModel, port: int, scratch: Path) -> dict[str, str]:
        """Its variables; whatever it writes goes into `scratch`."""
        scratches = dict.fromkeys(("HOME", "TMPDIR", "RAY_TMPDIR"), str(scratch))
        places = {
            "model": model.path,
            "repository": model.repository,
            "port": port,
            "next_port": port + 1,
            "scratch": scratch,
        }
        given = {name: text.format(**places) for name, text in self.variables.items()}
        return scratches | given


SERVED = {
    "SERVED_MODEL": "{model}",
    "SERVED_PORT": "{port}",
    "SERVED_BATCH": str(BATCH),
    # Without these two, they would tell their makers of every start.
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
}
HAPROXY = {  # where its files go
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "{scratch}/haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "{scratch}/admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "{scratch}/metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "{scratch}",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "{scratch}/server-state",
}


def peer(
    name: str,
    callers: calls.Callers,
    of: str | None = None,
    arguments: Sequence[str] = (),
    **variables: str,
) -> Server:
    """A peer's program, and the environment that it shares with others of its kind."""
    of = of or name
    module = f"benchmarks.serving.peers.{of}_app"
    return Server(name, of, module, callers, of, arguments, SERVED | variables)


MOSEC: calls.Callers = {
    "json": calls.plain_json("/inference"),
    "binary": calls.plain_bytes("/inference"),
    "jpeg": calls.plain_jpeg("/inference"),
}
MOSEC_ARGUMENTS = ("--port", "{port}", "--address", "127.0.0.1", "--log-level", "error")
FASTAPI: calls.Callers = {
    "json": calls.plain_json("/predict"),
    "binary": calls.plain_bytes("/predict_bytes"),
    "jpeg": calls.plain_jpeg("/classify"),
}
RAY: calls.Callers = {
    "json": calls.plain_json("/"),
    "binary": calls.plain_bytes("/"),
    "jpeg": calls.plain_jpeg("/"),
}
SERVERS: Sequence[Server] = (
    Server(
        OURS,
        "foldserve",
        "service",
        {
            "json": calls.protocol_json(INFER),
            "binary": calls.protocol_binary(INFER),
            "jpeg": calls.plain_jpeg("/models/{}/predict"),
        },
        variables={
            "FOLDSERVE_MODELS": "{repository}",
            "FOLDSERVE_PORT": "{port}",
            "FOLDSERVE_WORKERS": str(WORKERS),
            "FOLDSERVE_INTRA_OP_THREADS": "1",
        },
    ),
    peer("mosec", MOSEC, arguments=MOSEC_ARGUMENTS),
    peer("mosec-orjson", MOSEC, of="mosec", arguments=MOSEC_ARGUMENTS, SERVED_ORJSON="1"),
    peer(
        "kserve",
        {
            "json": calls.protocol_json(PEERS_INFER),
            "binary": calls.protocol_binary(PEERS_INFER),
            "jpeg": calls.instances_base64("/v1/models/served:predict"),
        },
        # Its own way to be silent about requests: an access log is no part of the comparison.
        arguments=("--log_config_file", "benchmarks/serving/peers/kserve_logging.json"),
    ),
    peer(
        "mlserver",
        {
            "json": calls.protocol_json(PEERS_INFER),
            "jpeg": calls.protocol_base64(PEERS_INFER),
        },
    ),
    # As tutorials have it: ONNX Runtime's own number of threads, that of the cores.
    peer("fastapi", FASTAPI, SERVED_THREADS="0"),
    peer("fastapi-tuned", FASTAPI, of="fastapi"),
    peer(
        "bentoml",
        {
            "json": calls.plain_json("/predict"),
            "binary": calls.plain_bytes("/predict_bytes"),
            "jpeg": calls.plain_jpeg("/classify"),
        },
    ),
    peer(
        "litserve",
        {
            "json": calls.plain_json("/predict"),
            "binary": calls.form("/predict", "tensor", lambda sample: sample.tensor.tobytes()),
            "jpeg": calls.form("/predict", "image", lambda sample: sample.jpeg),
        },
    ),
    peer("ray", RAY, RAY_SERVE_THROUGHPUT_OPTIMIZED="1"),
    # Its high-throughput mode: https://docs.ray.io/en/master/kuberay/user-guides/serve-high-throughput.html.
    # HAProxy listens on every address, whatever it is told.
    peer(
        "ray-haproxy",
        RAY,
        of="ray",
        RAY_SERVE_THROUGHPUT_OPTIMIZED="1",
        RAY_SERVE_ENABLE_HA_PROXY="1",
        **HAPROXY,
    ),
)
BY_NAME: Mapping[str, Server] = {server.name: server for server in SERVERS}
