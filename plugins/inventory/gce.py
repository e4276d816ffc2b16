# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory of Compute Engine instances, ready to be reached by ssh."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gce
short_description: Compute Engine instances, with all that is needed to reach them
description:
  - Extends the inventory plugin P(google.cloud.gcp_compute#inventory) and takes all of its options.
  - Points Google's clients at the target that the inventory names, and gives the plays the same
    environment as the variable C(cloudspill_environment) of the group C(all).
  - Sets C(ansible_host) (the external address, else the internal one), C(ansible_user), the private
    key, and ssh arguments that verify the host key against what the instance itself published.
  - Sets the instance's document as variables with the prefix C(gce_), and C(gce_ssh_command), a
    command line for a person.
  - Makes the groups C(label_KEY_VALUE), C(run_RUN) out of the label C(cloudspill-run),
    C(zone_ZONE) and C(status_STATUS).
  - Claims only files whose names end in C(.gce.yml) or C(.gce.yaml).
author:
  - The cloudspill authors (!UNKNOWN)
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [cloudspill.gcp.gce]
  environment_file:
    description:
      - A file with a JSON object of environment variables that point Google's clients at the
        target.
      - They apply while the inventory is read; plays get them as C(cloudspill_environment).
      - Credentials that the shell's environment names are then not used, since they belong to
        another target.
      - C(${VARIABLE:-DEFAULT}) in the path is replaced as a shell does it.
    type: str
  environment_hint:
    description: What to do when there is no such file, or when the target does not answer.
    type: str
    default: start the target that the inventory names
  projects:
    description: The ids of the projects.
    type: list
    elements: str
    env:
      - name: GCP_PROJECT
  auth_kind:
    description:
      - The kind of credentials; if not set, V(serviceaccount) where a key is given by
        C(service_account_file) or C(service_account_contents), else V(application).
    type: str
    choices: [application, serviceaccount, machineaccount, accesstoken]
    env:
      - name: GCP_AUTH_KIND
  hostnames:
    description: What a host is called; the first that an instance has.
    type: list
    elements: str
    default: [name]
  vars_prefix:
    description: The prefix of the variables that hold the instance's document.
    type: str
    default: gce_
  ssh_user:
    description: The login name; the role instance makes the same by default.
    type: str
    default: cloudspill
  ssh_key_file:
    description: The private key; the role instance makes the same by default.
    type: str
    default: ~/.config/cloudspill/ssh_key
  more_filters:
    description:
      - Filters beside C(filters), which must hold, too. The service applies them, so that what they
        leave out costs nothing.
    type: list
    elements: str
    default: []
    env:
      - name: CLOUDSPILL_FILTERS
  fields:
    description:
      - The fields of an instance to ask for beside those that the plugin needs, in the form of
        U(https://cloud.google.com/compute/docs/api/performance-tips#partial-response);
        V(*) asks for all. What is not asked for costs nothing and is no variable.
      - If not set, the machine type and the tags; all fields where C(compose), C(groups),
        C(keyed_groups) or C(retrieve_image_info) may need any.
    type: list
    elements: str
  host_keys:
    description:
      - The public host keys of instances that cannot publish theirs, because a policy forbids guest
        attributes, by the name of the instance.
    type: dict
    default: {}
seealso:
  - plugin: google.cloud.gcp_compute
    plugin_type: inventory
requirements:
  - google-auth >= 2.0
  - requests >= 2.28
  - OpenSSH >= 8.5
"""

EXAMPLES = r"""
# cloud.gce.yml: the instances of GCP_PROJECT that this collection made
plugin: cloudspill.gcp.gce
filters:
  - labels.cloudspill-run:*
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.group import to_safe_group_name
from ansible.module_utils.common.yaml import yaml_dump, yaml_load
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible_collections.google.cloud.plugins.inventory import gcp_compute

from ..module_utils import ssh_options
from ..module_utils.api_errors import CloudError, ServiceDisabledError, UnreachableError
from ..module_utils.instances import address_of
from ..module_utils.projects import require_project
from ..module_utils.target_environment import (
    EnvironmentFileError,
    read_environment_file,
)

_PARSER_ERROR = 4  # ansible's exit status for what it cannot parse

NEEDED_FIELDS = (
    "hostname",
    "id",
    "labels",
    "name",
    "networkInterfaces(networkIP,accessConfigs/natIP)",
    "selfLink",
    "status",
    "zone",
)
"""Of an instance: how it is called, reached and grouped."""

USUAL_FIELDS = ("machineType", "tags")
_EVERY_FIELD = "*"

CREDENTIAL_VARIABLES = (
    "GCE_CREDENTIALS_FILE_PATH",
    "GCP_ACCESS_TOKEN",
    "GCP_AUTH_KIND",
    "GCP_SCOPES",
    "GCP_SERVICE_ACCOUNT_CONTENTS",
    "GCP_SERVICE_ACCOUNT_EMAIL",
    "GCP_SERVICE_ACCOUNT_FILE",
)
"""What may choose credentials in a shell: they are meant for another target."""


def _with_options_of_parent(own: str) -> str:
    """Add the parent's options, where ours do not replace them."""
    documentation: dict[str, Any] = yaml_load(own)
    parent: dict[str, Any] = yaml_load(gcp_compute.DOCUMENTATION)
    documentation["options"] = {**parent["options"], **documentation["options"]}
    documentation["extends_documentation_fragment"] = parent["extends_documentation_fragment"]
    return str(yaml_dump(documentation))


# Ansible reads the options from this name at run time, and ansible-doc the literal above.
globals().update(DOCUMENTATION=_with_options_of_parent(DOCUMENTATION))


@contextmanager
def exported(environment: Mapping[str, str]) -> Iterator[None]:
    """Let environment variables hold for a while; nothing of them stays."""
    before = dict(os.environ)
    if environment:
        for name in CREDENTIAL_VARIABLES:
            os.environ.pop(name, None)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def expanded(path: str) -> str:
    """Replace `${VARIABLE:-DEFAULT}` in a path by the variable, or the default."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: os.environ.get(m[1]) or m[2] or "", path)


class InventoryModule(gcp_compute.InventoryModule):
    """google.cloud's inventory, pointed at a target and made reachable."""

    NAME = "cloudspill.gcp.gce"

    def verify_file(self, path: str) -> bool:
        """Claim a file by its suffix alone."""
        claimed = path.endswith((".gce.yml", ".gce.yaml"))
        return claimed and bool(BaseInventoryPlugin.verify_file(self, path))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Read the instances.

        Raises:
            AnsibleParserError: the target cannot be read; one sentence says what to do.
            SystemExit: the same, where the configuration says that this ends Ansible.
        """
        try:
            self._parse(inventory, loader, path, cache)
        except (CloudError, EnvironmentFileError, AnsibleParserError) as error:
            sentence = str(error)
            if isinstance(error, UnreachableError | EnvironmentFileError):
                sentence = self._with_hint(sentence)
            if constants.config.get_config_value("INVENTORY_ANY_UNPARSED_IS_FAILED"):
                # Ansible would try every other plugin on our file and end with the complaints of
                # all of them, ours somewhere in between.
                self.display.error(sentence, wrap_text=False)
                raise SystemExit(_PARSER_ERROR) from None
            raise AnsibleParserError(sentence) from None

    def _parse(self, inventory: Any, loader: Any, path: str, cache: bool) -> None:
        BaseInventoryPlugin.parse(self, inventory, loader, path)
        BaseInventoryPlugin._read_config_data(self, path)  # the parent's parse asks for more
        environment = self._environment()
        inventory.set_variable("all", "cloudspill_environment", environment)
        with exported(environment):
            super().parse(inventory, loader, path, cache)  # type: ignore[no-untyped-call]

    def _with_hint(self, sentence: str) -> str:
        hint = self._option("environment_hint")
        return f"{sentence}; {hint}" if self._option("environment_file") else sentence

    def _option(self, name: str) -> Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]

    def fetch_list(
        self, params: dict[str, Any], link: str, query: str
    ) -> dict[str, list[dict[str, Any]]]:
        """Read a project's instances over one session, as `zones/ZONE` → documents.

        Replaces the parent's way of asking, which hides most refusals. A project where the API is
        not enabled yet has no instances: the playbook that enables it needs this inventory, too.

        Raises:
            CloudError: the API refused, or did not answer.
        """
        del link  # the client knows
        from ..module_utils.compute import Compute
        from ..module_utils.credentials import load_credentials
        from ..module_utils.transport import Transport

        compute = Compute(Transport(load_credentials(params)), params["project"])
        filtered = {"filter": query} if query else {}
        try:
            return compute.list_by_scope("instances", **self.partial(), **filtered)
        except ServiceDisabledError as error:
            self.display.warning(error.sentence)
            return {}

    def partial(self) -> dict[str, str]:
        """The parameter that asks for some fields alone; none where all are wanted."""
        chosen = self._option("fields")
        if chosen is None:
            users = ("compose", "groups", "keyed_groups", "retrieve_image_info")
            any_field = any(self._option(option) for option in users)
            chosen = [_EVERY_FIELD] if any_field else USUAL_FIELDS
        if _EVERY_FIELD in chosen:
            return {}
        selection = ",".join((*NEEDED_FIELDS, *chosen))
        return {"fields": f"items/*/instances({selection}),nextPageToken"}

    def _read_config_data(self, path: str) -> dict[str, Any]:
        """Complete the options that depend on others, once they are read.

        Raises:
            AnsibleParserError: no project is named.
            CloudError: what is named can be no project.
        """
        config: dict[str, Any] = super()._read_config_data(path)  # type: ignore[no-untyped-call]
        if not self._option("projects") and not self._option("folders"):
            raise AnsibleParserError("no project: set GCP_PROJECT to the id of your project")
        for project in self._option("projects") or []:
            require_project(project)
        filters = [*(self._option("filters") or []), *self._option("more_filters")]
        self.set_option("filters", filters)  # type: ignore[no-untyped-call]
        if not self._option("auth_kind"):
            key = self._option("service_account_file") or self._option("service_account_contents")
            kind = "serviceaccount" if key else "application"
            self.set_option("auth_kind", kind)  # type: ignore[no-untyped-call]
        return config

    def _environment_file(self) -> str | None:
        name: str | None = self._option("environment_file")
        return expanded(name) if name else None

    def _environment(self) -> dict[str, str]:
        name = self._environment_file()
        return read_environment_file(Path(name)) if name else {}

    def _populate_host(self, item: Any) -> None:
        """Add an instance with its variables and groups."""
        super()._populate_host(item)  # type: ignore[no-untyped-call]
        inventory: Any = self.inventory
        hostname = item.hostname()
        instance: dict[str, Any] = item.to_json()
        for name, value in self._connection(instance).items():
            # Ours, not the API's: names, ids and addresses, in forms that hold no template.
            trusted = trust_as_template(value) if isinstance(value, str) else value
            inventory.set_variable(hostname, name, trusted)
        for group in groups_of(instance):
            inventory.add_child(inventory.add_group(group), hostname)

    def _connection(self, instance: dict[str, Any]) -> dict[str, Any]:
        """The variables by which Ansible reaches an instance."""
        address = address_of(instance)
        target = ssh_options.Target(
            project=instance["project"],
            zone=instance["zone"],
            name=instance["name"],
            instance_id=str(instance["id"]),
            address=address,
            user=self._option("ssh_user"),
            key_file=self._option("ssh_key_file"),
            environment_file=self._environment_file(),
            host_key=self._option("host_keys").get(instance["name"]),
        )
        arguments = ssh_options.common_arguments(target)
        return {
            "ansible_host": address,
            "ansible_user": target.user,
            "ansible_ssh_private_key_file": target.key_file,
            "ansible_ssh_common_args": arguments,
            # Addresses are used again by other instances; a shared connection must not be.
            "ansible_control_path": f"%(directory)s/{target.instance_id}-%%r",
            # The API's environment is the controller's, not the instance's.
            "cloudspill_environment": {},
            f"{self._option('vars_prefix')}ssh_command": ssh_options.command(target, arguments),
        }


def groups_of(instance: dict[str, Any]) -> list[str]:
    """The names of the groups that an instance belongs to."""
    labels: dict[str, str] = instance.get("labels") or {}
    names = [f"label_{key}_{value}" for key, value in labels.items()]
    if "cloudspill-run" in labels:
        names.append(f"run_{labels['cloudspill-run']}")
    names += [f"zone_{instance['zone']}", f"status_{str(instance['status']).lower()}"]
    return [to_safe_group_name(name, force=True, silent=True) for name in names]
