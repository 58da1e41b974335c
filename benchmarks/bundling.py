"""Bundles of attachments, compared with copies of the same objects; both read from S3 and write to S3."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from benchmarks.measurement import ComparisonTable, measure_implementations
from stafett.attachment_bundler.bundle import BundleWriter, StagedAttachment
from stafett.attachment_bundler.manifest import BundleManifest, BundleMember, ManifestPeriod, ReportRendering
from stafett.attachment_bundler.unavailable import UnavailableAttachment
from stafett.domain.export import ExportCounts, ExportFormat
from stafett.domain.export_outputs import MappingVersion, ReportFile
from stafett.storage.files import FileStorage

_NOON = datetime(2026, 12, 31, 12, tzinfo=UTC)
_MIB = 1024 * 1024


@dataclass(frozen=True)
class BundleSizes:
    """Number of attachments and MiB of each: small ones, which a bundle buffers, and large ones, read twice."""

    small: tuple[int, int]
    large: tuple[int, int]
    rounds: int


FULL = BundleSizes((200, 2), (4, 100), rounds=5)
TINY = BundleSizes((2, 1), (1, 9), rounds=1)


def run(storage: FileStorage, sizes: BundleSizes) -> list[ComparisonTable]:
    return [
        _compare_with_copy(storage, "buffered", *sizes.small, sizes.rounds),
        _compare_with_copy(storage, "read twice", *sizes.large, sizes.rounds),
    ]


def _compare_with_copy(storage: FileStorage, method: str, count: int, size_mib: int, rounds: int) -> ComparisonTable:
    """Measure attachments of a size at which the bundle verifies them with this method."""
    size = size_mib * _MIB
    noise = random.Random(size)  # noqa: S311 - random bytes cannot be compressed, like photographs
    contents = [noise.randbytes(size) for _ in range(min(count, 4))]
    attachments = [
        _store_attachment(storage, f"benchmarks/{size}-{number}", contents[number % len(contents)], number)
        for number in range(count)
    ]
    report = _store_report(storage)
    implementations = {
        "Stafett bundle (verified)": lambda: _write_bundle(storage, report, attachments),
        "S3 copy with verification": lambda: _copy_objects(storage, report, attachments, verify=True),
        "S3 copy without verification": lambda: _copy_objects(storage, report, attachments, verify=False),
    }
    title = f"Bundling {count} attachments of {size_mib} MiB into a ZIP file ({method}), from S3 to S3"
    slug = f"zip-{count}x{size_mib}mib"
    return ComparisonTable(title, slug, measure_implementations(implementations, rounds=rounds), baseline=1)


def _write_bundle(storage: FileStorage, report: ReportFile, attachments: list[StagedAttachment]) -> int:
    bundle = BundleWriter(
        storage, timestamp=_NOON, report_progress=lambda _size: None, on_unavailable=_fail_on_unavailable
    )
    chunks = bundle.write_chunks(report, attachments, lambda members: _build_manifest(report, members))
    return storage.write("benchmarks/bundle", chunks).size_bytes


def _copy_objects(
    storage: FileStorage, report: ReportFile, attachments: list[StagedAttachment], *, verify: bool
) -> int:
    def chunks() -> Iterator[bytes]:
        for key in (report.key, *(attachment.object_key for attachment in attachments)):
            sha256 = hashlib.sha256()
            for block in storage.read_chunks(key):
                if verify:
                    sha256.update(block)
                yield block

    return storage.write("benchmarks/copy", chunks()).size_bytes


def _store_attachment(storage: FileStorage, key: str, content: bytes, number: int) -> StagedAttachment:
    stored = storage.write(key, [content])
    object_fields = (f"bilde {number}.jpg", "image/jpeg", stored.size_bytes, stored.sha256, key)
    return StagedAttachment(number, UUID(int=number), date(2026, 1, 5), UUID(int=number), *object_fields, number=1)


def _store_report(storage: FileStorage) -> ReportFile:
    stored = storage.write("benchmarks/report.xlsx", [hashlib.shake_256(b"report").digest(_MIB)])
    return ReportFile(
        name="rapport.xlsx",
        mime_type=ExportFormat.XLSX.mime_type,
        content_sha256="",
        rows=1,
        **stored.model_dump(include={"key", "size_bytes", "sha256"}),
    )


def _build_manifest(report: ReportFile, members: tuple[BundleMember, ...]) -> BundleManifest:
    return BundleManifest(
        export_id=UUID(int=1),
        org_id="nhf",
        organisation="Prøveforbundet",
        reporting_period=ManifestPeriod(start=date(2026, 1, 1), end=date(2026, 12, 31)),
        snapshot_at=_NOON,
        mapping=MappingVersion(version=1, sha256=""),
        counts=ExportCounts(queried=1, written=1, countable=1),
        report=ReportRendering(
            export_format=ExportFormat.XLSX,
            locale="nb",
            formulas_disarmed=False,
            content_sha256=report.content_sha256,
        ),
        members=members,
    )


def _fail_on_unavailable(unavailable: UnavailableAttachment) -> None:
    raise AssertionError(unavailable)
