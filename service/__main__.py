"""``foldserve-serve``: serve until told to stop, or do what the command line says."""

import sys

from service.environment import COMMAND, is_asked_by_a_shell
from service.processes.start import start


def main() -> None:
    """Run the command; also what ``python -m service`` does."""
    # A shell that asks what could come next gives no arguments either.
    if len(sys.argv) == 1 and not is_asked_by_a_shell():
        sys.exit(start())
    # Asked every few seconds, so it loads no more than it needs.
    if sys.argv[1:] == ["health"]:
        from service.processes.health_check import health_check  # noqa: PLC0415

        sys.exit(health_check())
    # A server has nothing to read on its command line, and need not hold what would read it.
    from service.command_line import cli  # noqa: PLC0415

    cli(prog_name=COMMAND)


if __name__ == "__main__":
    main()
