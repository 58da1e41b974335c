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
from functools import partial
from pathlib import Path

from benchmarks import (
    api_load,
    bulk,
    bundling,
    csv_rendering,
    exports,
    fairness,
    mapping,
    pages,
    query,
    sandbox,
    xlsx,
)
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
    """Sizes of every page's measurements."""

    rounds: int
    workflow_instances: int
    rows: int
    mapped_rows: int
    mapped_parts: Sequence[int]
    cells: Sequence[int]
    bundles: bundling.BundleSizes
    bulk: bulk.BulkSizes
    exports: exports.ExportSizes
    api: api_load.ApiLoad
    fairness: fairness.FairnessLoad
    pages: pages.PageLoad


FULL = BenchmarkSizes(
    rounds=5,
    workflow_instances=10,
    rows=200_000,
    mapped_rows=1_000_000,
    mapped_parts=(5, 20, 80),
    cells=(1_000_000, 20_000_000),
    bundles=bundling.FULL,
    bulk=bulk.FULL,
    exports=exports.FULL,
    api=api_load.FULL,
    fairness=fairness.FULL,
    pages=pages.FULL,
)
TINY = BenchmarkSizes(
    rounds=1,
    workflow_instances=1,
    rows=200,
    mapped_rows=400,
    mapped_parts=(1,),
    cells=(2_000,),
    bundles=bundling.TINY,
    bulk=bulk.TINY,
    exports=exports.TINY,
    api=api_load.TINY,
    fairness=fairness.TINY,
    pages=pages.TINY,
)


async def main(chosen: set[str], sizes: BenchmarkSizes, folder: Path, results: Path) -> None:
    logging.basicConfig(level=logging.WARNING)
    write_page = partial(_write_page, results)
    if "mapping" in chosen:
        write_page("mapping", mapping.run(sizes.mapped_rows, sizes.rounds, sizes.mapped_parts))
    if "exports" in chosen:
        write_page("exports", exports.run(sizes.exports))
    if "api" in chosen:
        write_page("api", await api_load.run(sizes.api))
    if "fairness" in chosen:
        write_page("fairness", await fairness.run(sizes.fairness))
    if "pages" in chosen:
        write_page("pages", await pages.run(sizes.pages))
    if not chosen & {"foundation", "files", "bulk"}:
        return
    async with run_servers(StackOptions(data_dir=folder / "data")) as running:
        prepare_stores(running.addresses)
        settings = settings_from_addresses(running.addresses)
        if "foundation" in chosen:
            instances = sandbox.run(sizes.workflow_instances, sizes.rounds)
            write_page("foundation", [*instances, *query.run(running.addresses, sizes.rows, sizes.rounds)])
        if "bulk" in chosen:
            issuer = DevIssuer(folder / "issuer")
            issuer.ensure_keys()
            write_page("bulk", await bulk.run(settings, issuer, sizes.bulk))
        if "files" in chosen:
            workbooks = [entry for cells in sizes.cells for entry in xlsx.run(cells, sizes.rounds)]
            texts = csv_rendering.run(sizes.rows, sizes.rounds, running.addresses.postgres_url, folder)
            bundles = bundling.run(FileStorage(settings.s3), sizes.bundles)
            write_page("files", [*workbooks, *texts, *bundles])


def _write_page(
    results: Path, page_name: str, entries: Sequence[ComparisonTable] | Sequence[str] | Sequence[ComparisonTable | str]
) -> None:
    """Write the page and its plots, and print the page."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [f"# {PAGES[page_name]}\n\nMeasured on {machine}.\n"]
    results.mkdir(exist_ok=True)
    for entry in entries:
        if isinstance(entry, ComparisonTable):
            plot = f"{page_name}-{entry.slug}.svg"
            (results / plot).write_text(entry.to_svg(), encoding="utf-8")
            lines.append(f"{entry.to_markdown()}\n![{entry.title}]({plot})\n")
        else:
            lines.append(entry)
    page = "\n".join(lines)
    (results / f"{page_name}.md").write_text(page, encoding="utf-8")
    print(page)


PAGES = {
    "foundation": "Workflow sandbox and database queries",
    "mapping": "Column mapping",
    "files": "XLSX, CSV and ZIP files",
    "exports": "Exports",
    "bulk": "Bulk registration",
    "api": "Latency of the API",
    "fairness": "Latency beside a greedy user",
    "pages": "Pages of the console",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"One of {', '.join(PAGES)}; all if there is none.")
    parser.add_argument("--tiny", action="store_true", help="Measure so little that the figures mean nothing.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="Folder of the tables and plots.")
    args = parser.parse_args()
    # Python 3.11 would check the default of `choices` as one choice.
    if unknown := set(args.pages) - PAGES.keys():
        parser.error(f"unknown page: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(_WORLD_WRITABLE)  # PostgreSQL writes there as another user
        asyncio.run(main(set(args.pages) or {*PAGES}, TINY if args.tiny else FULL, Path(folder), args.results))
    sys.stdout.flush()
    os._exit(0)
