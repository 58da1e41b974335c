"""Choice of the ports of a development stack."""

import socket
from pathlib import Path

import pytest

from stafett.devstack import ports
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.errors import DevStackError
from stafett.devstack.ports import GRPC_OFFSET, PortReservations, Ports, choose_ports


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder.from_path(tmp_path)


def choose_and_release(folder: DataFolder) -> Ports:
    """Choose the ports of a stack that ends at once."""
    with PortReservations() as reservations:
        return choose_ports(folder, None, reservations)


@pytest.mark.parametrize("_repetition", range(50))
def test_grpc_ports_do_not_collide_with_ports_of_other_servers(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, _repetition: int
) -> None:
    """The range is so narrow that a random choice would collide; no stack chooses from it."""
    monkeypatch.setattr(ports, "_MIN_PORT", 10_000)
    monkeypatch.setattr(ports, "_MAX_PORT", 10_060)
    monkeypatch.setattr(ports, "GRPC_OFFSET", 20)
    chosen = choose_and_release(folder)
    all_ports = [*chosen.values(), *(port + 20 for name, port in chosen.items() if name.startswith("s3"))]
    assert len(set(all_ports)) == len(all_ports)


def test_ports_of_the_last_start_are_reused_unless_taken(folder: DataFolder) -> None:
    first = choose_and_release(folder)
    assert choose_and_release(folder) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["s3"] + GRPC_OFFSET))
        other.listen()
        second = choose_and_release(folder)
    assert {name for name in first if first[name] != second[name]} == {"s3"}


def test_ports_of_a_stack_that_has_not_ended_are_not_chosen_by_another(folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other_folder = DataFolder.from_path(tmp_path / "other")
    with PortReservations() as reservations:
        first = choose_ports(folder, None, reservations)
        other_folder.ports_file.write_text(folder.ports_file.read_text())
        assert not set(first.values()) & set(choose_and_release(other_folder).values())
        with PortReservations() as other_reservations, pytest.raises(DevStackError, match="is taken"):
            choose_ports(other_folder, first["api"], other_reservations)


def test_port_with_a_socket_file_of_another_user_is_not_chosen(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = choose_and_release(folder)["s3_volume"]
    socket_file = Path(f"/tmp/seaweedfs-volume-grpc-{port + GRPC_OFFSET}.sock")  # noqa: S108 - weed's choice
    socket_file.touch()
    try:
        assert choose_and_release(folder)["s3_volume"] == port
        monkeypatch.setattr("os.geteuid", lambda: socket_file.stat().st_uid + 1)
        assert choose_and_release(folder)["s3_volume"] != port
    finally:
        socket_file.unlink()
