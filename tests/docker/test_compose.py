"""`docker compose up` as README says it, on a real engine."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import grpc  # type: ignore[import-untyped]  # it has no types
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.machine.cpus import usable_cpus
from service.tuning.settings_file import write_settings
from tests.docker.conftest import Compose, docker
from tests.service import certificates

LARGEST_IMAGE = 350 * 10**6  # bytes, as `docker images` counts: what README promises


@pytest.fixture(scope="module")
def container(compose: Compose, image: None) -> str:  # noqa: ARG001 -- it has to be there
    """The running service's container id."""
    compose("up", "--detach", "--wait", "--wait-timeout", "60", "service")
    return compose("ps", "--quiet", "service").strip()


@pytest.fixture
def tuned(compose: Compose, container: str) -> Iterator[Compose]:
    """A second stack, with gRPC and the settings of a plan in its `foldserve.env`."""
    assert container  # the image is built
    file = compose.folder / "foldserve.env"
    file.write_text("FOLDSERVE_GRPC_PORT=8001\n")
    write_settings(file, {"workers": 3, "max_batch_size": 8}, "tune digits")
    name = f"{compose.environment['COMPOSE_PROJECT_NAME']}-tuned"
    project = Compose(compose.folder, compose.environment | {"COMPOSE_PROJECT_NAME": name})
    try:
        project("up", "--detach", "--wait", "--wait-timeout", "60", "service")
        yield project
    finally:
        project("down", "--timeout", "5")
        file.unlink()  # the first stack has none


def predicted_label(compose: Compose, root: Path) -> str:
    """Posts README's picture with README's curl; the port is asked anew, a restart changes it."""
    address = compose("port", "service", "8000").strip()
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail-with-body"),
            *("--data-binary", f"@{root / 'tests/data/digit_7.png'}"),
            f"http://{address}/models/digits/predict",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads(done.stdout)["predictions"][0]["label"])


@pytest.mark.usefixtures("container")
def test_the_stack_answers_seven(compose: Compose, root: Path) -> None:
    assert predicted_label(compose, root) == "7"


def test_the_image_is_small(container: str) -> None:
    image = docker("inspect", "--format", "{{.Image}}", container).stdout.strip()
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout)
    assert size <= LARGEST_IMAGE, f"{size / 10**6:.0f} MB"


def test_the_service_runs_without_privileges(container: str) -> None:
    assert docker("exec", container, "id", "-u").stdout.strip() == "10001"
    status = docker("exec", container, "cat", "/proc/1/status").stdout
    capabilities = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    assert capabilities == ["0000000000000000"]
    assert "NoNewPrivs:\t1" in status


def test_the_engine_holds_the_service_to_what_the_file_says(container: str) -> None:
    told = docker("inspect", "--format", "{{json .HostConfig}}", container).stdout
    host = json.loads(told)
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert 0 < host["Memory"] <= 4 * 2**30
    assert 0 < host["PidsLimit"] <= 256


@pytest.mark.parametrize("path", ["/file", "/opt/foldserve/file", "/models/file"])
def test_nothing_but_tmp_can_be_written(container: str, path: str) -> None:
    refused = docker("exec", container, "python", "-c", f"open({path!r}, 'w')")
    assert "Read-only file system" in refused.stderr
    assert docker("exec", container, "python", "-c", "open('/tmp/file', 'w')").returncode == 0


@pytest.mark.parametrize("module", ["torch", "onnx", "onnxscript", "pip", "training", "export"])
def test_the_image_holds_nothing_that_it_does_not_need(container: str, module: str) -> None:
    done = docker("exec", container, "/opt/foldserve/bin/python", "-c", f"import {module}")
    assert "ModuleNotFoundError" in done.stderr


def test_the_image_holds_no_compiler(container: str) -> None:
    for command in ("gcc", "cc", "clang", "make"):
        assert docker("exec", container, "sh", "-c", f"command -v {command}").returncode != 0


def test_what_tune_wrote_is_read_and_grpc_answers(tuned: Compose, root: Path) -> None:
    assert "3 workers x 1 thread" in tuned("logs", "service")
    assert predicted_label(tuned, root) == "7"
    with grpc.insecure_channel(tuned("port", "service", "8001").strip()) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True
        )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_image_is_healthy_over_tls_and_on_another_port(
    container: str, root: Path, tmp_path: Path
) -> None:
    image = docker("inspect", "--format", "{{.Image}}", container).stdout.strip()
    given = certificates.files(tmp_path)
    tmp_path.chmod(0o755)
    given.key.chmod(0o644)  # in the container they are somebody else's
    choices = {"PORT": 9000, "TLS_CERTIFICATE": "/tls/server.pem", "TLS_KEY": "/tls/server.key"}
    settings = [f"--env=FOLDSERVE_{name}={value}" for name, value in choices.items()]
    folders = [f"--volume={root / 'models'}:/models:ro", f"--volume={tmp_path}:/tls:ro"]
    started = docker("run", "--detach", *settings, *folders, image).stdout.strip()
    try:
        wait_for_health(started, "healthy")
        given.key.unlink()  # the check needs none of the files where clients need no certificate
        checked = docker("exec", started, "foldserve-serve", "health")
        assert (checked.returncode, checked.stderr) == (0, "")
        other = docker("exec", "--env=FOLDSERVE_PORT=9001", started, "foldserve-serve", "health")
        assert other.returncode == 1
    finally:
        docker("rm", "--force", started)


def wait_for_health(container: str, wanted: str) -> None:
    """Return once the engine's own check has found so."""
    ends = time.monotonic() + 60
    while (found := docker("inspect", "--format", "{{.State.Health.Status}}", container)).stdout:
        if found.stdout.strip() == wanted:
            return
        assert time.monotonic() < ends, docker("logs", container).stderr


@pytest.mark.parametrize("cpus", ["0.5", "1", "1.5"])
def test_the_plan_follows_the_share_of_the_processors(container: str, cpus: str) -> None:
    if usable_cpus().count < 2:
        pytest.skip("hardware: one CPU, which a share does not divide")
    image = docker("inspect", "--format", "{{.Image}}", container).stdout.strip()
    script = "from service.machine.plan import *; print(plan(Settings()).reason)"
    done = docker("run", "--rm", "--cpus", cpus, image, "python", "-c", script)
    assert done.stdout.startswith("1 worker x 1 thread: 1 CPU by cgroup "), done.stderr
    assert f" {float(cpus)} of " in done.stdout


@pytest.mark.usefixtures("container")
def test_the_train_profile_makes_the_model_that_the_service_then_serves(
    compose: Compose, root: Path
) -> None:
    wheel = next((root / "wheels").glob("torch-*.whl"), None)
    if wheel is None:
        pytest.skip("no torch wheel in ./wheels, and PyPI's would be several gigabytes")
    minor = wheel.name.split("-")[2].removeprefix("cp3")
    train = Compose(compose.folder, compose.environment | {"TRAIN_PYTHON_VERSION": f"3.{minor}"})
    shutil.rmtree(compose.folder / "models/digits")
    train("--profile", "train", "build", "train", timeout=900)
    train("--profile", "train", "run", "--rm", "train", timeout=900)
    compose("restart", "service")
    compose("up", "--detach", "--wait", "--wait-timeout", "60", "service")
    assert predicted_label(compose, root) == "7"


@pytest.mark.usefixtures("container")
def test_a_request_under_way_is_answered_when_the_service_is_stopped(
    compose: Compose, root: Path
) -> None:
    container = fresh(compose)
    image = (root / "tests/data/digit_7.png").read_bytes()
    host, port = compose("port", "service", "8000").strip().split(":")
    lines = ("POST /models/digits/predict HTTP/1.1", "Host: localhost", "Expect: 100-continue")
    head = "\r\n".join((*lines, f"Content-Length: {len(image)}", "", ""))
    with (
        socket.create_connection((host, int(port)), timeout=60) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(head.encode())
        assert status(answers) == 100  # a worker reads the request
        client.sendall(image[:10])
        assert docker("kill", "--signal", "TERM", container).returncode == 0
        wait_for_line(container, "draining")
        client.sendall(image[10:])
        assert status(answers) == 200
    assert docker("wait", container).stdout.strip() == "0"


def fresh(compose: Compose) -> str:
    """A container of the service that has no past."""
    compose("up", "--detach", "--force-recreate", "--wait", "--wait-timeout", "60", "service")
    return compose("ps", "--quiet", "service").strip()


def status(answers: BinaryIO) -> int:
    """The status of the next answer, whose head is read."""
    found = int(answers.readline().split()[1])
    while answers.readline().strip():
        pass
    return found


def wait_for_line(container: str, text: str) -> None:
    """Return as soon as the log has such a line."""
    with subprocess.Popen(
        ["docker", "logs", "--follow", container],  # noqa: S607 - docker is found on the PATH
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as log:
        assert log.stdout is not None
        assert any(text in line for line in log.stdout)
        log.kill()


@pytest.mark.usefixtures("container")
def test_the_service_ends_cleanly_when_it_is_stopped(compose: Compose) -> None:
    container = fresh(compose)
    compose("stop", "service")
    state = docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", container)
    assert state.stdout.split() == ["0", "false"]
