"""One process for each way in which commands run; the other tests run commands inside the test's process."""

import pytest

from stafett.cli.app import app
from tests.support.dev_stack import PROCESS_COMMANDS, DevStack, run_stafett_process

_NHF = ("--org", "nhf")
_COMMANDS = {
    "audit": ("audit", "checkpoint", *_NHF),
    "doctor": ("doctor", "--json"),
    "erase-person": ("erase-person", "--help"),
    "export": ("export", "list", *_NHF, "--json"),
    "mapping": ("mapping", "show", *_NHF),
    "openapi": ("openapi",),
    "operator": ("operator", "list", "--json"),
    "seed": ("seed", *_NHF, "--activities", "1", "--year", "1998"),
    "token": ("token", "--user", "coordinator@nhf.example", *_NHF, "--role", "coordinator"),
}
_SAME_WAY = {
    "export": {"activity", "api-key", "bulk", "member", "mentor", "notification", "reexport", "report", "webhook"},
    "operator": {"organisation"},
}
"""Groups whose processes import, connect and end as that of another group does; their commands run in other tests."""

_WITHOUT_STACK = {"erase-person", "openapi"}


@pytest.mark.parametrize("command", _COMMANDS)
async def test_command_succeeds_as_a_process(command: str, dev_stack: DevStack) -> None:
    arguments = _COMMANDS[command]
    stack = () if command in _WITHOUT_STACK else ("--data-dir", dev_stack.data_dir)
    (await run_stafett_process(*arguments, *stack)).require_success()


def test_every_way_to_run_a_command_is_a_process_in_some_test() -> None:
    groups = {str(group.name) for group in app.registered_groups}
    names = {str(command.name or getattr(command.callback, "__name__", "")) for command in app.registered_commands}
    assert {name.replace("_", "-") for name in names} | groups == _COMMANDS.keys() | PROCESS_COMMANDS | set().union(
        *_SAME_WAY.values()
    )
