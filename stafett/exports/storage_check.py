"""Comparison of the bucket with the database, which changes neither, for operators who have restored one of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from sqlmodel import Session, col, select

from stafett.database.session import Database
from stafett.database.tables import Attachment, Export, Organisation
from stafett.domain.object_keys import EXPORTS_PREFIX, ExportKey
from stafett.exports.stored_objects import load_referenced_keys
from stafett.storage.files import FileStorage

ATTACHMENTS_PREFIX = "attachments/"
_PAGE_SIZE = 500


class MissingObjects(NamedTuple):
    """The objects of one export that the database refers to and the bucket lacks."""

    org_id: str
    export_id: UUID
    lacks_file: bool
    others: int
    """How many objects of its snapshot, of its deviations, or of its finished stages."""


class UnknownObjects(NamedTuple):
    """The objects of an export, or of an attempt at it, that the database does not know."""

    org_id: str
    export_id: UUID
    objects: int


class MissingAttachment(NamedTuple):
    """An attachment that the bucket lacks."""

    org_id: str
    activity_id: UUID
    attachment_id: UUID


class StorageFindings(NamedTuple):
    """What the bucket lacks, and what it has that nothing refers to."""

    exports: int
    objects: int
    missing: Sequence[MissingObjects]
    missing_attachments: Sequence[MissingAttachment]
    unknown: Sequence[UnknownObjects]
    unreferenced: int
    """How many objects of exports that have ended nothing refers to."""
    unknown_attachments: int
    unrecognised: int
    """How many objects no attempt at an export wrote, such as copies of an operator."""


class StorageCheck:
    """Works as the maintenance role, one organisation at a time: its keys fit into memory."""

    def __init__(self, maintenance: Database, storage: FileStorage) -> None:
        self._database = maintenance
        self._storage = storage
        self._counts = Counter[str]()
        self._missing = list[MissingObjects]()
        self._missing_attachments = list[MissingAttachment]()
        self._unknown = list[UnknownObjects]()

    def run(self, org_id: str | None = None) -> StorageFindings:
        """Compare all organisations, or the given one, including those that only the bucket has."""
        self._storage.ping()
        checked = set[str]()
        for name, keys in self._iterate_organisations(org_id):
            self._check_organisation(name, keys)
            checked.add(name)
        for name in ({org_id} if org_id else self._list_organisations()) - checked:
            self._check_organisation(name, set())
        for name in {org_id} if org_id else self._list_organisations() | checked:
            self._check_attachments(name)
        return StorageFindings(
            exports=self._counts["exports"],
            objects=self._counts["objects"],
            missing=self._missing,
            missing_attachments=self._missing_attachments,
            unknown=self._unknown,
            unreferenced=self._counts["unreferenced"],
            unknown_attachments=self._counts["unknown_attachments"],
            unrecognised=self._counts["unrecognised"],
        )

    def _list_organisations(self) -> set[str]:
        with self._database.transaction() as session:
            return set(session.exec(select(Organisation.id)))

    def _iterate_organisations(self, org_id: str | None) -> Iterator[tuple[str, set[str]]]:
        """Yield each organisation with the keys below its prefix; S3 lists keys in their order."""
        prefix = EXPORTS_PREFIX if org_id is None else f"{EXPORTS_PREFIX}{org_id}/"
        keys = (item.key for item in self._storage.iterate_objects(prefix))
        for name, group in groupby(keys, key=lambda key: key.split("/")[1]):
            yield name, set(group)

    def _check_organisation(self, org_id: str, keys: set[str]) -> None:
        self._counts["objects"] += len(keys)
        attempts, open_exports, referenced = dict[UUID, int](), set[UUID](), set[str]()
        for exports in self._iterate_exports(org_id):
            attempts |= {export.id: export.attempt for export in exports}
            open_exports |= {export.id for export in exports if not export.status.is_final}
            stored = [export for export in exports if export.removal_started_at is None and export.deleted_at is None]
            with self._database.transaction(org_id) as session:
                needed = load_referenced_keys(session, stored)
            referenced |= needed
            self._record_missing(org_id, stored, needed - keys)
        self._counts["exports"] += len(attempts)
        self._record_strays(org_id, keys - referenced, attempts, open_exports)

    def _iterate_exports(self, org_id: str) -> Iterator[Sequence[Export]]:
        last_id = UUID(int=0)
        while True:
            query = select(Export).where(Export.org_id == org_id, col(Export.id) > last_id).order_by(col(Export.id))
            with self._database.transaction(org_id) as session:
                page = session.exec(query.limit(_PAGE_SIZE)).all()
            yield page
            if len(page) < _PAGE_SIZE:
                return
            last_id = page[-1].id

    def _record_missing(self, org_id: str, exports: Sequence[Export], keys: set[str]) -> None:
        """Record what is missing by the export below whose prefix it was; keys written since the listing are there."""
        file_keys = {export.file["key"] for export in exports if export.file}
        counts = dict[UUID, Counter[bool]]()
        for key in sorted(keys):
            parsed = ExportKey.parse(key)
            if parsed is not None and not self._storage.has_object(key):
                counts.setdefault(parsed.export_id, Counter())[key in file_keys] += 1
        self._missing += [
            MissingObjects(org_id, export_id, lacks_file=count[True] > 0, others=count[False])
            for export_id, count in counts.items()
        ]

    def _record_strays(self, org_id: str, keys: set[str], attempts: dict[UUID, int], open_exports: set[UUID]) -> None:
        unknown = Counter[UUID]()
        for key in keys:
            parsed = ExportKey.parse(key)
            if parsed is None:
                self._counts["unrecognised"] += 1
            elif parsed.attempt > attempts.get(parsed.export_id, 0):
                unknown[parsed.export_id] += 1
            elif parsed.export_id not in open_exports:  # what an open one has written is not committed yet
                self._counts["unreferenced" if parsed.attempt else "unrecognised"] += 1
        self._unknown += [UnknownObjects(org_id, export_id, count) for export_id, count in unknown.items()]

    def _check_attachments(self, org_id: str) -> None:
        keys = {item.key for item in self._storage.iterate_objects(f"{ATTACHMENTS_PREFIX}{org_id}/")}
        with self._database.transaction(org_id) as session:
            for key, attachment in _iterate_attachments(session, org_id):
                if key in keys:
                    keys.remove(key)
                elif not self._storage.has_object(key):
                    self._missing_attachments.append(attachment)
        self._counts["unknown_attachments"] += len(keys)


def _iterate_attachments(session: Session, org_id: str) -> Iterator[tuple[str, MissingAttachment]]:
    columns = select(Attachment.id, Attachment.activity_id, Attachment.object_key)
    query = columns.where(Attachment.org_id == org_id).order_by(col(Attachment.id))
    for attachment_id, activity_id, key in session.exec(query):
        yield key, MissingAttachment(org_id, activity_id, attachment_id)
