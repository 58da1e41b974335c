"""`python -m benchmarks`, which `make bench` runs, with sizes that take seconds."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import PAGES


def run_benchmarks(*args: str | Path, project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_benchmarks_write_every_page_with_its_plots(project: Path, tmp_path: Path) -> None:
    finished = run_benchmarks("--tiny", "--results", tmp_path, project=project)
    assert finished.returncode == 0, finished.stderr
    pages = {name: (tmp_path / f"{name}.md").read_text() for name in PAGES}
    for name, page in pages.items():
        assert page.startswith(f"# {PAGES[name]}\n"), name
        assert "| --- |" in page, name
    plots = {plot for page in pages.values() for plot in re.findall(r"\]\((.*\.svg)\)", page)}
    assert plots == {path.name for path in tmp_path.glob("*.svg")}
    assert plots
    assert re.search(r"^The clients .*\nThe API writes no request log", pages["api"], re.MULTILINE)
    assert "| API, CPU s | worker, CPU s | PostgreSQL, CPU s | Temporal, CPU s | S3, CPU s |" in pages["exports"]


def test_unknown_benchmark_page_is_a_usage_error(project: Path) -> None:
    finished = run_benchmarks("speed", project=project)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1] == "python -m benchmarks: error: unknown page: speed"
