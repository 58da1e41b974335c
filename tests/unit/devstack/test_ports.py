"""Choice of the ports of a development stack."""

from pathlib import Path

import pytest

from stafett.devstack import ports
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.ports import choose_ports


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder.from_path(tmp_path)


@pytest.mark.parametrize("_repetition", range(50))
def test_grpc_ports_do_not_collide_with_ports_of_other_servers(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, _repetition: int
) -> None:
    """The range is so narrow that a random choice would collide."""
    monkeypatch.setattr(ports, "_MIN_PORT", 11_000)
    monkeypatch.setattr(ports, "_MAX_PORT", 11_060)
    monkeypatch.setattr(ports, "GRPC_OFFSET", 20)
    chosen = choose_ports(folder, None)
    all_ports = [*chosen.values(), *(port + 20 for name, port in chosen.items() if name.startswith("s3"))]
    assert len(set(all_ports)) == len(all_ports)


def test_ports_of_the_last_start_are_reused(folder: DataFolder) -> None:
    assert choose_ports(folder, None) == choose_ports(folder, None)


def test_port_with_a_socket_file_of_another_user_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket_file = Path(f"/tmp/seaweedfs-volume-grpc-{11_500 + ports.GRPC_OFFSET}.sock")  # noqa: S108 - weed's choice
    socket_file.touch()
    try:
        assert ports._choose_port(11_500, set(), with_grpc=True)[0] == 11_500  # noqa: SLF001 - the one place that decides
        monkeypatch.setattr("os.geteuid", lambda: socket_file.stat().st_uid + 1)
        assert ports._choose_port(11_500, set(), with_grpc=True)[0] != 11_500  # noqa: SLF001 - the same
    finally:
        socket_file.unlink()
