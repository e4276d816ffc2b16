# SPDX-License-Identifier: GPL-3.0-or-later
"""apache-libcloud's GCE driver: https://libcloud.readthedocs.io/en/stable/compute/drivers/gce.html."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .target import Target

Named = Callable[[str], str]


@pytest.fixture(scope="module")
def driver(target: Target, _environment: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The driver, logged in with the key file; its tokens are kept in a scratch folder."""
    from libcloud.compute.providers import get_driver
    from libcloud.compute.types import Provider

    kept: Path = tmp_path_factory.mktemp("libcloud") / "tokens.json"
    return get_driver(Provider.GCE)(
        target.email,
        str(target.key_file),
        project=target.project,
        datacenter=target.zone,
        credential_file=str(kept),
    )


@pytest.fixture(scope="module")
def node(driver: Any, prefix: str) -> Any:
    """A node that runs."""
    return driver.create_node(f"{prefix}node", "f1-micro", "debian-12", ex_tags=["web"])


def test_create_node_returns_it_running_with_its_addresses(driver: Any, node: Any) -> None:
    assert (node.state, node.extra["status"]) == ("running", "RUNNING")
    assert len(node.public_ips) == len(node.private_ips) == 1
    assert node.private_ips[0].startswith("10.138.")
    assert node.size == "f1-micro"
    assert node.extra["tags"] == ["web"]


def test_list_nodes_finds_it_in_its_zone_and_in_all(driver: Any, node: Any) -> None:
    assert node.uuid in [each.uuid for each in driver.list_nodes()]
    assert node.uuid in [each.uuid for each in driver.list_nodes(ex_zone="all")]
    assert driver.ex_get_node(node.name).id == node.id


def test_tags_metadata_and_labels_are_set(driver: Any, node: Any) -> None:
    assert driver.ex_set_node_tags(node, ["allow-5000"])
    assert driver.ex_set_node_metadata(driver.ex_get_node(node.name), {"greeting": "hello"})
    assert driver.ex_set_node_labels(driver.ex_get_node(node.name), {"team": "a"})
    extra = driver.ex_get_node(node.name).extra
    assert (extra["tags"], extra["labels"]) == (["allow-5000"], {"team": "a"})
    assert {"key": "greeting", "value": "hello"} in extra["metadata"]["items"]


def test_a_node_is_rebooted_stopped_resized_and_started(driver: Any, named: Named) -> None:
    node = driver.create_node(named("vm"), "f1-micro", "debian-12")
    assert driver.reboot_node(node)
    assert driver.stop_node(node)
    stopped = driver.ex_get_node(node.name)
    assert stopped.extra["status"] == "TERMINATED"
    assert driver.ex_set_machine_type(stopped, "e2-small")
    assert driver.start_node(stopped)
    assert driver.ex_get_node(node.name).size == "e2-small"


def test_a_node_is_destroyed(driver: Any, named: Named) -> None:
    from libcloud.common.google import ResourceNotFoundError

    node = driver.create_node(named("vm"), "f1-micro", "debian-12")
    assert driver.destroy_node(node)
    with pytest.raises(ResourceNotFoundError):
        driver.ex_get_node(node.name)


def test_several_nodes_are_made_and_destroyed_at_once(driver: Any, named: Named) -> None:
    nodes = driver.ex_create_multiple_nodes(
        named("many"), "f1-micro", "debian-12", 2, poll_interval=0.1
    )
    assert [node.state for node in nodes] == ["running", "running"]
    assert driver.ex_destroy_multiple_nodes(nodes, poll_interval=0.1) == [True, True]


def test_a_volume_is_resized_snapshotted_and_imaged(driver: Any, named: Named) -> None:
    volume = driver.create_volume(10, named("disk"))
    assert driver.ex_resize_volume(volume, 12)
    snapshot = driver.create_volume_snapshot(volume, named("snapshot"))
    assert [each.name for each in driver.list_volume_snapshots(volume)] == [snapshot.name]
    assert driver.destroy_volume_snapshot(snapshot)
    image = driver.ex_create_image(named("image"), driver.ex_get_volume(volume.name))
    assert driver.ex_get_image(image.name).extra["diskSizeGb"] == "12"
    assert driver.ex_delete_image(image)
    assert driver.destroy_volume(volume)


def test_a_firewall_rule_is_made_updated_and_destroyed(driver: Any, named: Named) -> None:
    allowed = [{"IPProtocol": "tcp", "ports": ["5000"]}]
    rule = driver.ex_create_firewall(named("rule"), allowed, target_tags=["allow-5000"])
    rule.source_ranges = ["192.0.2.0/24"]
    changed = driver.ex_update_firewall(rule)
    assert (changed.allowed, changed.source_ranges) == (allowed, ["192.0.2.0/24"])
    assert driver.ex_destroy_firewall(changed)


def test_an_address_is_reserved_and_released(driver: Any, target: Target, named: Named) -> None:
    address = driver.ex_create_address(named("address"), region=target.region)
    assert address.address in [each.address for each in driver.ex_list_addresses(target.region)]
    assert driver.ex_destroy_address(address)


def test_a_network_gets_a_subnetwork(driver: Any, target: Target, named: Named) -> None:
    network = driver.ex_create_network(named("network"), None, mode="custom")
    subnetwork = driver.ex_create_subnetwork(
        named("subnet"), cidr="10.9.0.0/24", network=network, region=target.region
    )
    assert driver.ex_get_network(network.name).subnetworks
    assert driver.ex_destroy_subnetwork(subnetwork)
    assert driver.ex_destroy_network(network)


def test_images_sizes_and_places_are_listed(driver: Any, target: Target) -> None:
    family = driver.ex_get_image_from_family("debian-12", ["debian-cloud"])
    assert family.id in [image.id for image in driver.list_images("debian-cloud")]
    assert "f1-micro" in [size.name for size in driver.list_sizes()]
    assert target.zone in [place.name for place in driver.list_locations()]
    assert target.region in [region.name for region in driver.ex_list_regions()]


def test_a_name_that_is_taken_is_libcloud_s_own_error(driver: Any, node: Any) -> None:
    from libcloud.common.google import ResourceExistsError

    with pytest.raises(ResourceExistsError, match="already exists"):
        driver.create_node(node.name, "f1-micro", "debian-12")


def test_a_missing_method_is_named(driver: Any, sandbox_only: Target) -> None:
    from libcloud.common.google import GoogleBaseError

    with pytest.raises(GoogleBaseError, match=r"compute\.routes\.insert is not implemented"):
        driver.ex_create_route("own", "10.7.0.0/24")


def test_routes_are_listed_and_read(driver: Any) -> None:
    routes = driver.ex_list_routes()
    (world,) = [r for r in routes if r.dest_range == "0.0.0.0/0" and r.network.endswith("/default")]
    assert driver.ex_get_route(world.name).id == world.id


def test_a_template_is_made_listed_and_destroyed(driver: Any, named: Named) -> None:
    template = driver.ex_create_instancetemplate(named("template"), "f1-micro", image="debian-12")
    assert template.name in [each.name for each in driver.ex_list_instancetemplates()]
    assert driver.ex_get_instancetemplate(template.name).id == template.id
    assert driver.ex_destroy_instancetemplate(template)


def test_a_volume_is_attached_and_detached(driver: Any, named: Named) -> None:
    node = driver.create_node(named("vm"), "f1-micro", "debian-12")
    assert driver.stop_node(node)
    volume = driver.create_volume(10, named("disk"))
    assert driver.attach_volume(node, volume, device=volume.name, ex_boot=False)
    attached = driver.ex_get_volume(volume.name)
    assert driver.ex_set_volume_auto_delete(attached, node, auto_delete=False)
    assert driver.detach_volume(attached, ex_node=node)
    assert volume.name in [each.name for each in driver.list_volumes()]
    assert driver.destroy_node(node)
    assert driver.destroy_volume(volume)


def test_a_node_s_settings_are_changed(driver: Any, named: Named) -> None:
    node = driver.create_node(named("vm"), "f1-micro", "debian-12")
    assert driver.ex_get_serial_output(node)
    name = node.extra["networkInterfaces"][0]["accessConfigs"][0]["name"]
    assert driver.ex_delete_access_config(node, name, "nic0")
    assert driver.ex_add_access_config(node, name, "nic0")
    assert driver.stop_node(node)
    assert driver.ex_set_node_scheduling(node, automatic_restart=False)
    assert driver.ex_get_node(node.name).extra["scheduling"]["automaticRestart"] is False
    assert driver.destroy_node(node)


def test_resources_are_labelled_and_deprecated(driver: Any, named: Named) -> None:
    volume = driver.create_volume(10, named("disk"))
    assert driver.ex_set_volume_labels(driver.ex_get_volume(volume.name), {"team": "a"})
    image = driver.ex_create_image(named("image"), driver.ex_get_volume(volume.name))
    assert driver.ex_set_image_labels(driver.ex_get_image(image.name), {"team": "a"})
    assert driver.ex_deprecate_image(image, driver.ex_get_image("debian-12"), state="DEPRECATED")
    assert driver.ex_delete_image(image)
    assert driver.destroy_volume(volume)


def test_the_project_and_what_it_has_are_read(driver: Any, target: Target) -> None:
    assert driver.ex_get_project().name == target.project
    assert "default" in [network.name for network in driver.ex_list_networks()]
    assert "default" in [each.name for each in driver.ex_list_subnetworks()]
    assert "default-allow-ssh" in [rule.name for rule in driver.ex_list_firewalls()]
    assert "pd-ssd" in [kind.name for kind in driver.ex_list_disktypes()]
    assert driver.ex_get_disktype("pd-ssd").zone.name == target.zone
    assert driver.ex_get_zone(target.zone).status == "UP"
    assert driver.ex_get_region(target.region).status == "UP"


def test_what_every_zone_and_region_has_is_listed_at_once(
    driver: Any, target: Target, named: Named
) -> None:
    address = driver.ex_create_address(named("address"), region=target.region)
    assert address.name in [each.name for each in driver.ex_list_addresses("all")]
    assert driver.ex_destroy_address(address)
    kinds = driver.ex_list_disktypes("all")
    assert {kind.name for kind in kinds} >= {"pd-standard", "pd-ssd"}
    # The driver takes the first page of this list for all of it.
    sizes = [size for size in driver.list_sizes("all") if size.name == "f1-micro"]
    assert len({size.extra["zone"].name for size in sizes}) > 1
    subnetworks = driver.ex_list_subnetworks("all")
    assert target.region in [each.region.name for each in subnetworks if each.name == "default"]


def test_an_image_is_read_by_its_link(driver: Any) -> None:
    newest = driver.ex_get_image_from_family("debian-12", ["debian-cloud"])
    assert driver.ex_get_image(newest.extra["selfLink"]).id == newest.id


def test_the_project_s_metadata_are_set(driver: Any) -> None:
    def items() -> list[dict[str, str]]:
        metadata = driver.ex_get_project().extra["commonInstanceMetadata"]
        return list(metadata.get("items", []))

    before = items()
    wanted = [*before, {"key": "ct", "value": "x"}]
    assert driver.ex_set_common_instance_metadata({"items": wanted}, force=True)
    try:
        assert {"key": "ct", "value": "x"} in items()
    finally:
        assert driver.ex_set_common_instance_metadata({"items": before}, force=True)
    assert {"key": "ct", "value": "x"} not in items()
