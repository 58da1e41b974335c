"""Runs the benchmarks (`make bench`) and writes their tables and plots to benchmarks/results/."""

import argparse
import asyncio
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import api_load, bulk, bundling, csv_rendering, exports, fairness, mapping, query, sandbox, xlsx
from benchmarks.measurement import ComparisonTable
from stafett.cli.dev_stack import prepare_stores, settings_from_addresses
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import run_servers
from stafett.storage.files import FileStorage

RESULTS = Path(__file__).parent / "results"
_WORLD_WRITABLE = 0o777


@dataclass(frozen=True)
class BenchmarkSizes:
    rows: int
    mapped_rows: int
    cells: Sequence[int]


async def main(pages: set[str], sizes: BenchmarkSizes, folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING)
    if "mapping" in pages:
        _write_page("mapping", mapping.run(sizes.mapped_rows))
    if "exports" in pages:
        _write_page("exports", exports.run())
    if "api" in pages:
        _write_page("api", await api_load.run())
    if "fairness" in pages:
        _write_page("fairness", await fairness.run())
    if not pages & {"foundation", "files", "bulk"}:
        return
    async with run_servers(StackOptions(data_dir=folder / "data")) as running:
        prepare_stores(running.addresses)
        if "foundation" in pages:
            _write_page("foundation", [*sandbox.run(), *query.run(running.addresses, sizes.rows)])
        if "bulk" in pages:
            issuer = DevIssuer(folder / "issuer")
            issuer.ensure_keys()
            _write_page("bulk", await bulk.run(settings_from_addresses(running.addresses), issuer))
        if "files" in pages:
            workbooks = [entry for cells in sizes.cells for entry in xlsx.run(cells)]
            texts = csv_rendering.run(sizes.rows, running.addresses.postgres_url, folder)
            bundles = bundling.run(FileStorage(settings_from_addresses(running.addresses).s3))
            _write_page("files", [*workbooks, *texts, *bundles])


def _write_page(
    page_name: str, entries: Sequence[ComparisonTable] | Sequence[str] | Sequence[ComparisonTable | str]
) -> None:
    """Write the page and its plots, and print the page."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [f"# Benchmarks\n\nOn {machine}.\n"]
    RESULTS.mkdir(exist_ok=True)
    for entry in entries:
        if isinstance(entry, ComparisonTable):
            plot = f"{page_name}-{entry.slug}.svg"
            (RESULTS / plot).write_text(entry.to_svg(), encoding="utf-8")
            lines.append(f"{entry.to_markdown()}\n![{entry.title}]({plot})\n")
        else:
            lines.append(entry)
    page = "\n".join(lines)
    (RESULTS / f"{page_name}.md").write_text(page, encoding="utf-8")
    print(page)


PAGES = ("foundation", "mapping", "files", "exports", "bulk", "api", "fairness")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", choices=PAGES, default=PAGES)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--mapped", type=int, default=1_000_000)
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000_000, 20_000_000])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(_WORLD_WRITABLE)  # PostgreSQL writes there as another user
        asyncio.run(main(set(args.pages), BenchmarkSizes(args.rows, args.mapped, args.cells), Path(folder)))
    sys.stdout.flush()
    os._exit(0)
