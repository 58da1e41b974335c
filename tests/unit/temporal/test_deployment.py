"""The version of a worker in its Worker Deployment."""

import pytest
from temporalio.common import VersioningBehavior
from temporalio.worker import WorkerDeploymentConfig

from stafett.domain.errors import SettingsError
from stafett.settings import Settings, TemporalSettings
from stafett.temporal.deployment import create_deployment_config
from stafett.version import VERSION, build_fingerprint


def create(**settings: str) -> WorkerDeploymentConfig | None:
    return create_deployment_config(TemporalSettings.model_validate(settings))


def test_workers_have_no_version_without_a_deployment() -> None:
    assert create() is None
    assert create(build_id="0.2.0") is None


def test_version_is_that_of_the_installed_code_unless_it_is_set() -> None:
    installed, named = create(deployment="stafett"), create(deployment="stafett", build_id="0.2.0")
    assert installed is not None
    assert named is not None
    assert installed.version.build_id == f"{VERSION}-{build_fingerprint()[:12]}"
    assert named.version.to_canonical_string() == "stafett.0.2.0"
    assert named.use_worker_versioning
    assert named.default_versioning_behavior is VersioningBehavior.AUTO_UPGRADE


@pytest.mark.parametrize("name", ["DEPLOYMENT", "BUILD_ID"])
def test_name_that_temporal_would_reject_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"STAFETT_TEMPORAL__{name}", "a/b")
    with pytest.raises(SettingsError, match=f"TEMPORAL__{name}"):
        Settings.load()
