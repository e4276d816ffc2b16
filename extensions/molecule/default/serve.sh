#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A startup script: serves a page that names the machine on port 5000, as the service "page".
set -euo pipefail

mkdir -p /srv/page
hostname >/srv/page/index.html
cat >/etc/systemd/system/page.service <<'UNIT'
[Unit]
Description=A page that names the machine

[Service]
ExecStart=python3 -m http.server --directory /srv/page 5000
User=nobody

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now page.service
