"""The settings: one frozen class; ``environment`` reads it from ``FOLDSERVE_*`` variables."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.urls import collector, is_origin

PREFIX = "FOLDSERVE_"

# Pillow warns at a quarter of a gigabyte of RGB and refuses at twice that; stay below both.
LARGEST_IMAGE_PIXELS = 89_000_000

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """What an operator can choose."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: Port = Field(default=8000, description="TCP port to listen on; 0 takes a free one.")
    grpc_port: Port | None = Field(
        default=None, description="TCP port of gRPC, which is off without one."
    )
    control_port: Port | None = Field(
        default=None,
        description="TCP port on 127.0.0.1 that takes load and unload, off without one.",
    )
    control_grpc_port: Port | None = Field(
        default=None, description="The same for gRPC, off without one."
    )
    api_keys: Path | None = Field(
        default=None,
        description="File of API keys; with it, all but live and ready needs a key.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="File of the server's certificate chain (PEM); with it, TLS is all it speaks.",
    )
    tls_key: Path | None = Field(
        default=None, description="File of the certificate's private key (PEM), not encrypted."
    )
    tls_client_ca: Path | None = Field(
        default=None,
        description="File of authorities (PEM); clients then need a certificate of one of them.",
    )
    # What browsers' lists of such hosts ask for at least (hstspreload.org).
    tls_hsts_s: int = Field(
        default=31_536_000,
        ge=0,
        le=2**31 - 1,
        description="Seconds that browsers keep to TLS for this host (HSTS); 0: they forget it.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins such as https://example.org whose pages may call; none by default.",
    )
    models: Path = Field(
        default=Path("models"),
        description="Model repository: a folder of <name>/<version>/model.onnx.",
    )
    version_policy: str = Field(
        default="all",
        description="Versions to serve: all, latest:N, or by model latest:1;digits=1,2.",
    )
    repository_poll_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds between looks for new, changed and removed models; 0 never looks.",
    )
    require_lock: bool = Field(
        default=False, description="Serve only files whose hash stands in the lock.json of models."
    )
    max_model_bytes: int = Field(
        default=2 * 2**30, ge=1, description="Bytes of a model's file and its external data."
    )
    provider: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Where models run; the start fails if it cannot be had."
    )
    cuda_cpu_fallback: bool = Field(
        default=False, description="With cuda, let nodes that CUDA lacks run on the CPU."
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Processes that share the port (default: planned from the CPUs).",
    )
    runners: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Runs of one model at once in a worker (default: planned).",
    )
    intra_op_threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads of one run (default: planned)."
    )
    decode_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Threads of a worker that decode images and large bodies (default: planned).",
    )
    max_batch_size: int = Field(
        default=32, ge=1, le=65536, description="Rows of one run; a larger request is refused."
    )
    batch_buckets: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(),
        description="Sizes such as 1,4,16 that batches are padded to, each warmed before ready.",
    )
    max_queue_delay_ms: float = Field(
        default=0.0,
        ge=0,
        le=10_000,
        allow_inf_nan=False,
        description="Milliseconds that a batch may wait to fill; 0 never waits on a free runner.",
    )
    max_queue_size: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Rows that may wait per model; more is refused.",
    )
    request_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds from a request's admission to its answer.",
    )
    # A run that takes longer than its requests have is of no use to any of them.
    run_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds of one run of a model; a longer one is ended, and its requests fail.",
    )
    # Far more than anything may hold up an event loop, which runs models of some milliseconds
    # itself: such a run was of no use to anybody after `request_timeout_s`, of which this is twice.
    worker_timeout_s: float = Field(
        default=60.0,
        ge=5,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds without a sign of life after which one of several workers is killed.",
    )
    # Longer than the minute that proxies keep an idle upstream connection: whoever closes first
    # must not be the side that may just be receiving a request.
    idle_timeout_s: float = Field(
        default=75.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that a connection may take for its next request's head, all of it.",
    )
    # What nginx gives a body to go on; here it is the time for all of it.
    body_timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds from a request's head to the end of its body.",
    )
    max_connections: int = Field(
        default=4096,
        ge=1,
        le=1_000_000,
        description="Connections of one worker, as far as it may open files; more are refused.",
    )
    max_body_bytes: int = Field(
        default=16 * 2**20, ge=1024, le=2**31 - 1, description="Bytes of one request body."
    )
    max_image_pixels: int = Field(
        default=40_000_000,
        ge=1,
        le=LARGEST_IMAGE_PIXELS,
        description="Pixels of one image, checked before it is decoded.",
    )
    scaled_decoding: bool = Field(
        default=False,
        description="Decode large JPEGs smaller, faster than training did and nearly the same.",
    )
    top_k: int = Field(
        default=5,
        ge=1,
        le=100_000,
        description="Predictions in an answer that did not ask with ?top_k=.",
    )
    access_log: Literal["all", "errors", "none"] = Field(
        default="errors", description="Which requests are a line in the log."
    )
    warm_up: bool = Field(
        default=True,
        description="Run every model before it is ready: it must run, and not mix rows if batched.",
    )
    drain_delay_s: float = Field(
        default=0.0,
        ge=0,
        le=600,
        allow_inf_nan=False,
        description="Seconds after SIGTERM that requests are still taken while not ready.",
    )
    grace_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that admitted requests get to finish at the end.",
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="How log lines look, on the standard error stream."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe line that is logged."
    )
    traces_url: Annotated[str, AfterValidator(collector)] | None = Field(
        default=None,
        description="Where traces go, as OTLP over HTTP: http://127.0.0.1:4318/v1/traces.",
    )
    traces_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Of the traces that begin here, how many are sent; callers decide on theirs.",
    )

    @field_validator("batch_buckets", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _buckets_rise_to_a_batch(self) -> Self:
        sizes = self.batch_buckets
        if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes))):
            raise ValueError("batch_buckets must be rising sizes of 1 or more")
        if sizes and sizes[-1] != self.max_batch_size:
            raise ValueError("the largest of batch_buckets must be max_batch_size")
        return self

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> Self:
        if self.max_queue_size < self.max_batch_size:
            raise ValueError("max_queue_size is smaller than max_batch_size, no batch could fill")
        return self

    @model_validator(mode="after")
    def _a_run_ends_before_its_worker(self) -> Self:
        if self.worker_timeout_s <= self.run_timeout_s:
            raise ValueError(
                "worker_timeout_s must be longer than run_timeout_s: a run may hold up its worker"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = (self.port, self.grpc_port, self.control_port, self.control_grpc_port)
        named = [port for port in ports if port]
        if len(set(named)) < len(named):
            raise ValueError("port, grpc_port, control_port, control_grpc_port must differ")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_certificate is None and (self.tls_key or self.tls_client_ca):
            raise ValueError(
                f"{PREFIX}TLS_CERTIFICATE is missing: without a certificate there is no TLS"
            )
        if self.tls_certificate is not None and self.tls_key is None:
            raise ValueError(f"{PREFIX}TLS_KEY is missing: the certificate is of no use without it")
        return self

    @property
    def takes_commands(self) -> bool:
        """Whether there is a port that models are loaded and unloaded over."""
        return self.control_port is not None or self.control_grpc_port is not None

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.cors_origins:
            if origin != "*" and not is_origin(origin):
                raise ValueError("cors_origins must be such as https://example.org, without a path")
        # Without keys, any page that a browser beside the server opens could ask for all.
        if "*" in self.cors_origins and self.api_keys is None:
            raise ValueError("cors_origins may be * only where api_keys are needed")
        return self
