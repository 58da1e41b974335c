"""Verification of a bundle against its own manifest."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stafett.attachment_bundler.manifest import (
    AttachmentSource,
    BundleManifest,
    BundleMember,
    ManifestPeriod,
    ReportRendering,
    ReportSource,
)
from stafett.attachment_bundler.unavailable import UnavailableReason
from stafett.attachment_bundler.verification import verify_bundle
from stafett.domain.export import ExportCounts, ExportFormat
from stafett.domain.export_outputs import MappingVersion
from tests.support.hypothesis_profiles import scale_examples

ID = UUID("7f0c2a1e-0000-4000-8000-000000000001")
ATTACHED, MISSING = "attachments/møte.pdf", "attachments/borte.pdf"
FILES = {"rapport.csv": b"Dato;Sted\r\n" * 100, ATTACHED: b"%PDF referat"}
Files = dict[str, bytes]


def member(name: str, content: bytes, **more: Any) -> BundleMember:
    source = ReportSource() if name == "rapport.csv" else AttachmentSource(activity_id=ID, attachment_id=ID)
    sha256 = hashlib.sha256(content).hexdigest()
    return BundleMember(name=name, size_bytes=len(content), sha256=sha256, source=source, **more)


MANIFEST = BundleManifest(
    export_id=ID,
    org_id="nhf",
    organisation="Norges Handikapforbund",
    reporting_period=ManifestPeriod.model_validate({"start": "2026-01-01", "end": "2026-12-31"}),
    snapshot_at="2027-01-02T10:00:00Z",
    mapping=MappingVersion(version=2, sha256="0" * 64),
    counts=ExportCounts(queried=1, written=1),
    report=ReportRendering(
        export_format=ExportFormat.CSV,
        locale="nb",
        csv_profile="excel",
        formulas_disarmed=True,
        content_sha256="1" * 64,
    ),
    members=(
        *(member(name, content) for name, content in FILES.items()),
        member(MISSING, b"borte", missing=True, reason=UnavailableReason.NOT_IN_STORAGE),
    ),
)


def zip_files(files: Files) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


COMPLETE = FILES | {"manifest.json": MANIFEST.to_bytes()}


def verify_content(tmp_path: Path, content: bytes) -> list[str]:
    (tmp_path / "b.zip").write_bytes(content)
    return verify_bundle(tmp_path / "b.zip")[1]


def test_manifest_is_utf_8_with_sorted_keys() -> None:
    raw = MANIFEST.to_bytes()
    assert "møte".encode() in raw
    assert raw.endswith(b"}\n")
    assert b"\r" not in raw
    assert list(json.loads(raw)) == sorted(json.loads(raw))
    assert BundleManifest.model_validate_json(raw) == MANIFEST


def test_manifest_of_a_workbook_has_no_csv_profile() -> None:
    report = MANIFEST.report.model_copy(update={"export_format": ExportFormat.XLSX, "csv_profile": None})
    manifest = MANIFEST.model_copy(update={"report": report})
    assert "csv_profile" not in json.loads(manifest.to_bytes())["report"]
    assert BundleManifest.model_validate_json(manifest.to_bytes()) == manifest


def test_intact_bundle_has_no_findings(tmp_path: Path) -> None:
    assert verify_content(tmp_path, zip_files(COMPLETE)) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda files: files | {ATTACHED: b"%PDF REFERAT"}, f"{ATTACHED} does not match the SHA-256 in the manifest."),
        (lambda files: files | {ATTACHED: b"%PDF"}, f"{ATTACHED} has 4 bytes instead of the 12 in the manifest."),
        (
            lambda files: files | {ATTACHED: bytes(10_000_000)},
            f"{ATTACHED} is larger than the 12 bytes in the manifest.",
        ),
        (lambda files: _without(files, "rapport.csv"), "rapport.csv is missing."),
        (lambda files: files | {"mer.exe": b"MZ"}, "mer.exe is not in the manifest."),
        (lambda files: files | {"mer\x1b[2J": b""}, "mer\N{REPLACEMENT CHARACTER}[2J is not in the manifest."),
        (lambda files: files | {MISSING: b"borte"}, f"{MISSING} is present, but the manifest lists it as missing."),
        (lambda files: _without(files, "manifest.json"), "manifest.json is missing."),
        (lambda files: files | {"manifest.json": b"{}"}, "manifest.json has an unsupported format."),
    ],
)
def test_every_difference_from_the_manifest_is_reported(
    tmp_path: Path, change: Callable[[Files], Files], finding: str
) -> None:
    assert verify_content(tmp_path, zip_files(change(COMPLETE))) == [finding]


def test_duplicate_member_is_reported(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(zip_files(COMPLETE))
    with ZipFile(tmp_path / "b.zip", "a") as bundle, pytest.warns(UserWarning, match="Duplicate name"):
        bundle.writestr("rapport.csv", FILES["rapport.csv"])
    assert verify_bundle(tmp_path / "b.zip")[1] == ["rapport.csv appears 2 times."]


@pytest.mark.parametrize("content", [b"", b"Dato;Sted", b"PK\x03\x04", zip_files(COMPLETE)[:-30]], ids=len)
def test_file_that_is_not_a_zip_is_reported_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    assert verify_content(tmp_path, content) == ["Not a ZIP file, or damaged."]


@settings(max_examples=scale_examples(300))
@given(st.data())
def test_bundle_with_a_changed_byte_never_passes_with_other_content(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(zip_files(COMPLETE))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("bundle") / "b.zip"
    path.write_bytes(content)
    manifest, findings = verify_bundle(path)
    if not findings:
        with ZipFile(path) as bundle:
            assert manifest == BundleManifest.model_validate_json(bundle.read("manifest.json"))
            assert {name: bundle.read(name) for name in FILES} == FILES


def _without(files: Files, name: str) -> Files:
    return {other: content for other, content in files.items() if other != name}
