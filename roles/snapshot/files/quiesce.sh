#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Brings a machine to a stand for a snapshot of its disk, and lets it go on.
#
#   quiesce.sh begin TOKEN MODE TIMEOUT [SERVICE…]   start the rest as a transient unit, and return
#   quiesce.sh hold  TOKEN MODE TIMEOUT [SERVICE…]   what that unit runs
#   quiesce.sh resume                                what it ends with, however it ends
#
# MODE: sync (write to the disk what was written), stop (stop the services first), freeze (freeze the
# filesystem too, where that is possible). What is stopped stays so until the metadata key
# cloudspill-quiesce-release holds TOKEN, or for TIMEOUT seconds. While the disk is frozen nothing may
# write to it, a login least of all, so this script and its notes lie in /run, it speaks by guest
# attributes and hears by metadata.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

readonly folder=/run/cloudspill-quiesce
readonly metadata=http://169.254.169.254/computeMetadata/v1/instance
readonly unit=cloudspill-quiesce

publish() {
  curl -fsS --max-time 5 -o /dev/null -X PUT -H 'Metadata-Flavor: Google' --data "$(<"$folder/token") $*" \
    "$metadata/guest-attributes/cloudspill/quiesce"
}

released() {
  [[ $(curl -fsS --max-time 5 -H 'Metadata-Flavor: Google' \
    "$metadata/attributes/cloudspill-quiesce-release" 2>/dev/null) == "$1" ]]
}

begin() {
  # One that an earlier run left goes on first.
  systemctl stop "$unit" 2>/dev/null || true
  mkdir -p "$folder"
  rm -f "$folder"/*
  cp "$0" "$folder/quiesce.sh"
  echo "$1" >"$folder/token"
  systemd-run --quiet --collect --unit "$unit" --property KillMode=mixed \
    --property "ExecStopPost=/bin/bash $folder/quiesce.sh resume" \
    /bin/bash "$folder/quiesce.sh" hold "$@"
}

hold() {
  local token=$1 mode=$2 timeout=$3 state=synced
  shift 3
  if [[ $mode != sync ]]; then
    for service in "$@"; do
      if systemctl --quiet is-active "$service"; then
        echo "$service" >>"$folder/stopped"
        systemctl stop "$service" || {
          publish "failed to stop $service"
          exit 1
        }
      fi
    done
    state=stopped
  fi
  sync
  if [[ $mode == freeze ]]; then
    # Noted before: after a kill in between, a thaw too many does no harm.
    echo / >"$folder/frozen"
    if fsfreeze --freeze / 2>"$folder/refusal"; then
      state=frozen
    else
      rm "$folder/frozen"
      state="stopped, and not frozen: $(<"$folder/refusal")"
    fi
  fi
  echo ended >"$folder/end"
  publish "$state"
  local deadline=$((SECONDS + timeout))
  until released "$token"; do
    ((SECONDS < deadline)) || exit 0
    sleep 0.2
  done
  echo resumed >"$folder/end"
}

resume() {
  if [[ -e $folder/frozen ]]; then
    fsfreeze --unfreeze / || true
  fi
  if [[ -e $folder/stopped ]]; then
    xargs -r systemctl start <"$folder/stopped"
  fi
  if [[ -e $folder/end ]]; then
    publish "$(<"$folder/end")"
  fi
}

"$@"
