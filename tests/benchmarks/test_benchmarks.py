"""`python -m benchmarks`, which `make bench` runs, with sizes that take seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import PAGES

_SHORT_PAGES = {"exports", "mapping"}
_TEXTS = {
    "api": r"^The clients .*\nThe API writes no request log",
    "bulk": r"\]\(bulk-.*\.svg\)",
    "exports": r"\| API, CPU s \| worker, CPU s \| PostgreSQL, CPU s \| Temporal, CPU s \| S3, CPU s \|",
    "files": r"\]\(files-.*\.svg\)",
}


def run_benchmarks(*args: str | Path, project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in _SHORT_PAGES else pytest.mark.soak) for name in PAGES]
)
def test_benchmarks_write_a_page_with_its_plots(project: Path, tmp_path: Path, name: str) -> None:
    finished = run_benchmarks(name, "--tiny", "--results", tmp_path, project=project)
    assert finished.returncode == 0, finished.stderr
    page = (tmp_path / f"{name}.md").read_text()
    assert page.startswith(f"# {PAGES[name]}\n")
    assert "| --- |" in page
    assert set(re.findall(r"\]\((.*\.svg)\)", page)) == {path.name for path in tmp_path.glob("*.svg")}
    if text := _TEXTS.get(name):
        assert re.search(text, page, re.MULTILINE)


def test_unknown_benchmark_page_is_a_usage_error(project: Path) -> None:
    finished = run_benchmarks("speed", project=project)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1] == "python -m benchmarks: error: unknown page: speed"
