"""`stafett` commands in the test's own process, which saves the start of an interpreter for each command."""

import asyncio
import gc
import io
import os
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence

import pytest

from stafett.cli import execute

_one_command = asyncio.Lock()  # the streams and the environment belong to the whole process


class _Stream(io.TextIOWrapper):
    """A standard stream of a command, as a pipe is. What the test's own thread logs meanwhile goes where it did."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", newline="", write_through=True)
        self._test_thread, self._test_output = threading.get_ident(), sys.stdout

    def write(self, text: str) -> int:
        if threading.get_ident() == self._test_thread:
            return self._test_output.write(text)
        return super().write(text)

    def read_output(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


async def execute_command(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command with these variables added to the environment; return its exit code, stdout and stderr."""
    stdout, stderr = _Stream(), _Stream()
    async with _one_command:
        with pytest.MonkeyPatch.context() as patch:
            for name in list(os.environ):
                if name.startswith(("STAFETT_", "NO_COLOR")):
                    patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            for name, stream in {"stdin": _Stream(), "stdout": stdout, "stderr": stderr}.items():
                patch.setattr(sys, name, stream)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # the end of its process closes what a command opened
                exit_code = await asyncio.to_thread(execute, arguments)
                gc.collect()
    return exit_code, stdout.read_output(), stderr.read_output()
