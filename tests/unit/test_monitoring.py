"""The rules for Prometheus: they can be read, and speak of metrics that there are."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from store.metrics import StoreMetrics

RULES = Path(__file__).parents[2] / "deploy" / "monitoring" / "store-alerts.yml"


def rules() -> list[dict[str, Any]]:
    """All rules of the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_rule_is_complete_and_speaks_of_metrics_that_there_are() -> None:
    registry = CollectorRegistry()
    StoreMetrics(registry)
    known = {metric.name for metric in registry.collect()}

    for rule in rules():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert set(re.findall(r"trimem_\w+", rule["expr"])) <= known
        assert rule["annotations"].keys() == {"summary", "description"}


def test_there_is_an_alert_at_half_a_million_events_in_one_part() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "TrimemUnpartitionedEvents"]

    assert rule["expr"].endswith(">= 500000")
    [names] = re.findall(r'partition=~"([^"]+)"', rule["expr"])
    assert re.fullmatch(names, "events")
    assert re.fullmatch(names, "events_historic")
    assert not re.fullmatch(names, f"events_y{datetime.now(UTC):%Ym%m}")


def test_the_upkeep_of_partitions_has_an_alert_that_fires_after_it_once_succeeded() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "TrimemNoPartitionUpkeep"]

    assert rule["expr"].startswith("time() - trimem_store_upkeep_success_time_seconds > 10800 or absent(")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    assert subprocess.run(["promtool", "check", "rules", str(RULES)], check=False, capture_output=True).returncode == 0
