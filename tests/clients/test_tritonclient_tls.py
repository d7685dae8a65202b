"""NVIDIA's clients, unchanged, against a real server that speaks TLS."""

from pathlib import Path

import pytest

from tests.clients import expected
from tests.clients.conftest import Talk
from tests.clients.expected import CASES
from tests.service import certificates, servers


@pytest.mark.parametrize("workers", [1, 2])
def test_every_model_answers_over_tls(
    repository: Path, talk: Talk, tmp_path: Path, workers: int
) -> None:
    files = certificates.files(tmp_path)
    authority = certificates.put(tmp_path, files.authority)
    with servers.server(repository, **files.choices(WORKERS=workers, GRPC_PORT=0)) as server:
        said = talk("triton_tls", f"127.0.0.1:{server.port},{server.grpc},{authority}")
        assert server.stop() == 0
    for answers in (said["http"], said["grpc"]):
        for case in CASES.values():
            expected.check_answer(case, answers[case.id])
