"""`make bench`: every benchmark, each beside its peers in one run; the tables go to benchmarks/results/."""

import argparse
import asyncio
import logging
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks import csv_rendering, mapping, query, sandbox, xlsx
from stafett.cli.development import prepare_stores
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import servers

RESULTS = Path(__file__).parent / "results"


async def main(rows: int, mapped: int, cells: int) -> None:
    logging.basicConfig(level=logging.WARNING)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    heading = f"# Benchmarks\n\nOn {machine}.\n"
    mapping_tables, xlsx_tables = mapping.run(mapped), xlsx.run(cells)
    tables = [heading, sandbox.run(), csv_rendering.run(rows)]
    with tempfile.TemporaryDirectory() as folder:
        async with servers(StackOptions(data_dir=Path(folder) / "data")) as running:
            prepare_stores(running.addresses)
            tables.append(query.run(running.addresses, rows))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "foundation.md").write_text("\n".join(tables), encoding="utf-8")
    (RESULTS / "mapping.md").write_text(f"{heading}\n{mapping_tables}", encoding="utf-8")
    (RESULTS / "xlsx.md").write_text(f"{heading}\n{xlsx_tables}", encoding="utf-8")
    print("\n".join([*tables, mapping_tables, xlsx_tables]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--mapped", type=int, default=1_000_000)
    parser.add_argument("--cells", type=int, default=1_000_000)
    wanted = parser.parse_args()
    asyncio.run(main(wanted.rows, wanted.mapped, wanted.cells))
    sys.stdout.flush()
    os._exit(0)
