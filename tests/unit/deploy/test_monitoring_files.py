"""Alert rules and the dashboard: their syntax, and what an operator reads in them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml  # type: ignore[import-untyped]  # the package ships no types

PROJECT = Path(__file__).parents[3]
MONITORING = PROJECT / "deploy" / "monitoring"


def load_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def load_panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return panels


def test_every_query_is_valid() -> None:
    queries = [rule["expr"] for rule in load_rules()]
    queries += [target["expr"] for panel in load_panels() for target in panel["targets"]]
    for query in queries:
        promql_parser.parse(query)


def test_every_alert_has_a_severity_and_is_explained_in_the_documentation() -> None:
    operations = (PROJECT / "docs" / "operations.md").read_text()
    for rule in load_rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
        assert f"| `{rule['alert']}` |" in operations


def test_every_alert_has_a_case_that_fires_it() -> None:
    cases = (MONITORING / "rules_test.yaml").read_text()
    assert sorted(re.findall(r'alertname="(\w+)"', cases)) == sorted(rule["alert"] for rule in load_rules())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_alerts_fire_for_their_reasons_and_not_otherwise() -> None:
    command = ["promtool", "test", "rules", "rules_test.yaml"]
    result = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_panels_have_titles_of_their_own_and_do_not_overlap() -> None:
    panels = load_panels()
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
