"""What a start leaves behind."""

import gc
import subprocess
import sys

from service.machine.memory import give_back, settle


def test_after_the_start_garbage_is_looked_for_again_and_not_in_what_stays() -> None:
    gc.disable()
    before = len(gc.get_objects())
    try:
        settle()
        assert gc.isenabled()
        assert len(gc.get_objects()) < before / 10
    finally:
        gc.enable()
        gc.unfreeze()


def test_memory_can_be_given_back_with_any_c_library() -> None:
    give_back()
    without = (
        "import ctypes; ctypes.CDLL = lambda _: object();"
        "from service.machine.memory import give_back; give_back()"
    )
    subprocess.run([sys.executable, "-c", without], check=True)


def test_the_server_loads_neither_rich_nor_a_command_lines_library() -> None:
    # Of what a worker would hold without ever using it, these are the largest.
    code = (
        "import sys, os; os.environ['FOLDSERVE_MODELS'] = '/nothing';"
        "os.environ['FOLDSERVE_WORKERS'] = '1';"
        "from service.processes.start import start; assert start() == 2;"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"onnxruntime", "fastapi", "structlog"} <= loaded
    assert not {"rich", "pygments", "typer", "prometheus_client", "grpc"} & loaded
