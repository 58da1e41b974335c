"""Alert rules and the dashboard against the metrics that the running processes serve."""

import json
import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # the package ships no types

from stafett.testing import ActivityFactory, ExportClient
from tests.support.metrics import Scraper

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"


async def test_alerts_and_dashboard_use_only_metrics_that_the_stack_serves(
    scraper: Scraper, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await export_client.wait_for_completion(await export_client.start_export())
    served = {sample.name for sample in await scraper.scrape()}
    missing = {
        name for query in read_queries() for name in re.findall(r"\b(?:stafett|temporal|process)_\w+", query)
    } - served
    assert missing <= EVENT_METRICS, sorted(missing - EVENT_METRICS)


EVENT_METRICS = {
    "stafett_activity_retries_total",
    "temporal_request_failure_total",
    "temporal_workflow_failed_total",
    "temporal_workflow_task_execution_failed_total",
}
"""Metrics that appear with the first event, which this test does not cause."""


def read_queries() -> list[str]:
    rules = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    queries = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return queries + [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
