"""Several workers behind one port.

The process that binds the sockets and forks the workers stays above them. What it has loaded the
workers share until they write to it: a fifth less memory, and a worker is there at once. It may
load whatever starts no thread, since a fork takes only one along.
"""

import socket
from collections.abc import Sequence
from contextlib import closing

import structlog

from service.access.secrets import SecretFiles
from service.machine.memory import settle
from service.machine.plan import Plan
from service.processes.handover import Handover
from service.processes.link import Link
from service.processes.listeners import control_port, grpc_ports, listeners
from service.processes.server import Announce, work
from service.processes.supervisor import Supervisor
from service.processes.watch import Watch
from service.repository.hub import Command
from service.settings import Settings
from service.telemetry.board import Board
from service.telemetry.logs import configure_logs
from service.telemetry.metrics import Metrics

log = structlog.get_logger()

# For what comes after the grace time: models are freed, threads are joined.
_END_S = 10.0


def run(settings: Settings, announce: Announce, plan: Plan) -> None:
    """Serve with several workers until SIGTERM or SIGINT, then drain and return.

    Args:
        settings: the operator's.
        announce: told the lines that a person wants to see once all workers are ready.
        plan: of processes and threads.

    Raises:
        StartError: the address cannot be had, or a worker could not start.
    """
    configure_logs(settings.log_format, settings.log_level)
    log.info("starting", plan=plan.reason)
    secrets = SecretFiles(settings)
    with (
        grpc_ports(settings, shared=True) as settings,
        control_port(settings) as (settings, control),
        listeners(settings.host, settings.port, plan.workers) as sockets,
        closing(Handover()) as handover,
    ):
        board = Board(plan.workers)
        settle()  # before the fork: the collector would write to what the workers share
        grace_s = settings.drain_delay_s + settings.grace_s + _END_S

        def work_as(number: int, end: socket.socket, history: Sequence[Command]) -> int:
            link = Link(end, history)
            own = [sockets[number], *control]
            metrics = Metrics(board, number)
            return work(settings, plan, metrics, own, link, secrets.current, handover)

        watch = Watch(board.slots, settings.worker_timeout_s)
        supervisor = Supervisor(
            sockets, board, work_as, announce, grace_s, watch, handover, secrets.look
        )
        supervisor.run()
