"""Which ports a stack takes."""

from pathlib import Path

import pytest

from stafett.devstack import ports
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.ports import choose_ports


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder.from_path(tmp_path)


@pytest.mark.parametrize("_time", range(50))
def test_no_second_port_is_another_servers_port(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, _time: int
) -> None:
    """In a range so narrow that by chance they would be."""
    monkeypatch.setattr(ports, "_MIN_PORT", 11_000)
    monkeypatch.setattr(ports, "_MAX_PORT", 11_060)
    monkeypatch.setattr(ports, "GRPC_OFFSET", 20)
    chosen = choose_ports(folder, None)
    every = [*chosen.values(), *(port + 20 for name, port in chosen.items() if name.startswith("s3"))]
    assert len(set(every)) == len(every)


def test_the_ports_of_last_time_are_taken_again(folder: DataFolder) -> None:
    assert choose_ports(folder, None) == choose_ports(folder, None)


def test_a_port_whose_socket_another_user_left_in_everybodys_folder_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = Path(f"/tmp/seaweedfs-volume-grpc-{11_500 + ports.GRPC_OFFSET}.sock")  # noqa: S108 - weed's choice
    left.touch()
    try:
        assert ports._choose_port(11_500, set(), with_grpc=True)[0] == 11_500  # noqa: SLF001 - the one place that decides
        monkeypatch.setattr("os.geteuid", lambda: left.stat().st_uid + 1)
        assert ports._choose_port(11_500, set(), with_grpc=True)[0] != 11_500  # noqa: SLF001 - the same
    finally:
        left.unlink()
