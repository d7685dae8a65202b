"""The command line as a whole: help, examples, completion, mistakes."""

import os
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.command_line import cli

GROUP: Any = typer.main.get_command(cli)
COMMANDS: dict[str, Any] = {"foldserve-serve": GROUP} | {
    f"foldserve-serve {name}": command for name, command in GROUP.commands.items()
}


def run(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def examples(command: Any) -> list[list[str]]:
    """The commands of a help's examples, without variables in front and files behind."""
    lines = command.epilog.split("Examples:")[1].split("Settings, ")[0].replace("\b", "")
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        words = shlex.split(line.split(" >> ")[0])
        found.append([word for word in words if not word.startswith("FOLDSERVE_")])
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples_of_what_there_is(name: str) -> None:
    command = COMMANDS[name]
    known = {option for each in command.params for option in each.opts}
    given = examples(command)
    assert given
    for words in given:
        assert words[0] == "foldserve-serve"
        if command is not GROUP:
            assert " ".join(words[:2]) == name
            assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_each_example_on_a_line_of_its_own(name: str) -> None:
    arguments = [*name.split()[1:], "--help"]
    shown = CliRunner().invoke(cli, arguments).output.splitlines()
    for words in examples(COMMANDS[name]):
        assert any(all(word in line for word in words) for line in shown)


def test_a_shell_that_asks_for_completion_starts_no_server() -> None:
    done = run(
        _FOLDSERVE_SERVE_COMPLETE="complete_bash",
        COMP_WORDS="foldserve-serve ch",
        COMP_CWORD="1",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "check\n", "")


def test_a_misspelt_command_is_told_with_the_nearest() -> None:
    done = run("chekc")
    assert done.returncode == 2
    assert "Did you mean 'check'?" in done.stderr
    assert "Traceback" not in done.stderr
