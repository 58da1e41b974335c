"""The figures of docs/scaling.md are those of the benchmarks."""

from pathlib import Path

import pytest

_ORDER = ("worker", "PostgreSQL", "Temporal", "S3", "API")


def read_table(path: Path, header: str) -> list[list[str]]:
    """Read the rows of the table whose header begins like this."""
    lines = path.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    rows = list[list[str]]()
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.fixture
def cpu_seconds(project: Path) -> dict[str, dict[str, float]]:
    """The CPU seconds of an export by number of rows and by process."""
    columns = ("API", "worker", "PostgreSQL", "Temporal", "S3")
    table = read_table(project / "benchmarks/results/exports.md", "| rows | seconds | peak MiB | API, CPU s")
    return {row[0]: dict(zip(columns, map(float, row[3:8]), strict=True)) for row in table}


def test_exports_per_core_are_those_of_the_measurements(
    project: Path, cpu_seconds: dict[str, dict[str, float]]
) -> None:
    stated = {row[0]: row[1:] for row in read_table(project / "docs/scaling.md", "| rows | worker | PostgreSQL |")}
    assert stated == {
        rows: [f"{1 / seconds[process]:.2g}" for process in _ORDER] for rows, seconds in cpu_seconds.items()
    }


def test_connections_of_the_example_add_up(project: Path) -> None:
    *parts, (_, total) = read_table(project / "docs/scaling.md", "| processes | connections |")
    assert sum(int(connections) for _, connections in parts) == int(total)
