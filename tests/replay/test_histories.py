"""Open runs of every released version replay under the current code."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from stafett.domain.job import JobKind
from stafett.settings import TemporalSettings
from stafett.temporal.client import PREVIEW_EXPORT
from stafett.temporal.codec import data_converter_from_settings
from worker import WORKFLOWS

KEYS = SecretStr(f"2027:{base64.b64encode(bytes(32)).decode()}")
HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_every_outcome_has_a_history() -> None:
    outcomes = {path.stem.rpartition("-")[2] for path in HISTORIES}
    assert {"completed", "bundled", "empty", "failed", "api", "signal", "database", "sent", "reexport"} <= outcomes


def test_every_durable_workflow_has_a_history() -> None:
    recorded_types = {path.stem.partition("-")[0] for path in HISTORIES}
    assert recorded_types == {*JobKind, PREVIEW_EXPORT}


def read_history(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("keys", [None, KEYS], ids=["without keys", "with keys"])
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_recorded_history_replays(path: Path, keys: SecretStr | None) -> None:
    history = WorkflowHistory.from_json(path.stem, read_history(path))
    converter = data_converter_from_settings(TemporalSettings(codec_keys=keys))
    await Replayer(workflows=WORKFLOWS, data_converter=converter).replay_workflow(history)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_history_contains_no_personal_data(path: Path) -> None:
    text = " ".join(_texts(json.loads(read_history(path))))
    assert any(name in text for name in ("export_id", "preview_id", "subject_id", "batch_id"))
    for private in ("Nordmann", "Åse", "Prøve", "Tromsø", "@"):
        assert private not in text


def _texts(node: Any, name: str = "") -> Iterator[str]:
    """Yield every text of a history, with payloads decoded."""
    match node:
        case dict():
            for key, value in node.items():
                yield from _texts(value, key)
        case list():
            for value in node:
                yield from _texts(value, name)
        case str() if name == "data":
            yield base64.b64decode(node).decode("utf-8")
        case _:
            yield str(node)
