# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host writes into a disk, and what it must not be led to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudspill_sandbox.runtime.guest_files import renew_identity, write_names
from cloudspill_sandbox.runtime.interface import MachineNic, MachineSpec

SPEC = MachineSpec(
    id="1",
    name="web",
    hostname="web.us-west1-b.c.lab.internal",
    boot_volume="disk",
    nic=MachineNic("/run/netns/x", "10.138.0.2", "42:01:0a:8a:00:02"),
    vcpus=1,
    memory_mb=614,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    return tmp_path / "root"


def test_names_are_those_of_compute_engine(root: Path) -> None:
    write_names(root, SPEC)
    assert (root / "etc/resolv.conf").read_text() == (
        "search us-west1-b.c.lab.internal c.lab.internal google.internal\n"
        "nameserver 169.254.169.254\n"
    )
    assert (root / "etc/hosts").read_text() == (
        "127.0.0.1 localhost\n"
        "10.138.0.2 web.us-west1-b.c.lab.internal web  # Added by Google\n"
        "169.254.169.254 metadata.google.internal  # Added by Google\n"
    )


def test_lines_of_the_user_stay_and_those_of_an_earlier_machine_go(root: Path) -> None:
    (root / "etc/hosts").write_text(
        "127.0.0.1 localhost\n10.0.0.9 database\n10.138.0.9 old.zone old  # Added by Google\n"
    )
    write_names(root, SPEC)
    lines = (root / "etc/hosts").read_text().splitlines()
    assert "10.0.0.9 database" in lines
    assert not [line for line in lines if "old" in line]


@pytest.mark.parametrize("name", ["machine-id", "hosts", "resolv.conf"])
def test_a_link_in_the_disk_is_replaced_not_followed(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "host-file").write_text("the host's")
    (root / "etc" / name).symlink_to(tmp_path / "host-file")
    renew_identity(root)
    write_names(root, SPEC)
    assert (tmp_path / "host-file").read_text() == "the host's"
    assert not (root / "etc" / name).is_symlink()


def test_a_link_in_place_of_etc_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host-etc").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/etc").symlink_to(tmp_path / "host-etc")
    with pytest.raises(OSError, match="etc"):
        renew_identity(tmp_path / "root")
    assert list((tmp_path / "host-etc").iterdir()) == []


def test_an_identity_is_renewed_by_an_empty_machine_id(root: Path) -> None:
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    renew_identity(root)
    assert (root / "etc/machine-id").read_bytes() == b""
