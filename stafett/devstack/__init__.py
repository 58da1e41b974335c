"""The whole real stack on one machine, from wheels: only this package knows which."""

from stafett.devstack.dev import Program, run_stack
from stafett.devstack.errors import DevStackError
from stafett.devstack.options import StackAddresses, StackOptions
from stafett.devstack.stack import RunningServers, servers
from stafett.devstack.stack_file import StackFile, read_stack

__all__ = [
    "DevStackError",
    "Program",
    "RunningServers",
    "StackAddresses",
    "StackFile",
    "StackOptions",
    "read_stack",
    "run_stack",
    "servers",
]
