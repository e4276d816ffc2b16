#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Brings a machine to a stand for a snapshot of its disk, and lets it go on.
#
#   quiesce.sh begin MODE TIMEOUT [SERVICE…]         start the rest as a transient unit; say its token
#   quiesce.sh hold  TOKEN MODE TIMEOUT [SERVICE…]   what that unit runs
#   quiesce.sh resume                                what it ends with, however it ends
#
# MODE: sync (write to the disk what was written), stop (stop the services first), freeze (freeze the
# filesystem too, where that is possible).
#
# The unit hears by the metadata key cloudspill-quiesce: `TOKEN hold` and, within TIMEOUT seconds,
# `TOKEN release`; without them it ends by itself. It speaks by the guest attribute cloudspill/quiesce:
# `TOKEN holding HOW`, then `TOKEN resumed`, or `TOKEN ended: WHY`. While the disk is frozen nothing
# may write to it, a login least of all: hence no ssh, and a script and notes that lie in /run.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

readonly folder=/run/cloudspill-quiesce
readonly metadata=http://169.254.169.254/computeMetadata/v1/instance
readonly unit=cloudspill-quiesce
readonly patience=120 # seconds to be told to begin; nothing is stopped meanwhile

publish() {
  curl -fsS --max-time 5 -o /dev/null -X PUT -H 'Metadata-Flavor: Google' \
    --data "$(<"$folder/token") $*" "$metadata/guest-attributes/cloudspill/quiesce"
}

# await WORD TIMEOUT: wait until the metadata say TOKEN WORD.
await() {
  local told deadline=$((SECONDS + $2))
  told="$(<"$folder/token") $1"
  until [[ $(curl -fsS --max-time 5 -H 'Metadata-Flavor: Google' \
    "$metadata/attributes/cloudspill-quiesce" 2>/dev/null) == "$told" ]]; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

begin() {
  # One that an earlier run left goes on first.
  systemctl stop "$unit" 2>/dev/null || true
  mkdir -p "$folder"
  rm -f "$folder"/*
  cp "$0" "$folder/quiesce.sh"
  cat /proc/sys/kernel/random/uuid >"$folder/token"
  echo "ended: it was interrupted" >"$folder/end"
  systemd-run --quiet --collect --unit "$unit" --property KillMode=mixed \
    --property "ExecStopPost=/bin/bash $folder/quiesce.sh resume" \
    /bin/bash "$folder/quiesce.sh" hold "$@"
  cat "$folder/token"
}

hold() {
  local mode=$1 timeout=$2 how=synced
  shift 2
  await hold "$patience" || give_up "it was not told to stand still within $patience s"
  if [[ $mode != sync ]]; then
    stop_services "$@"
    how=stopped
  fi
  sync
  if [[ $mode == freeze ]]; then
    # Noted before: after a kill in between, a thaw too many does no harm.
    touch "$folder/frozen"
    if fsfreeze --freeze / 2>"$folder/refusal"; then
      how=frozen
    else
      rm "$folder/frozen"
      how="stopped, not frozen: $(<"$folder/refusal")"
    fi
  fi
  publish "holding $how"
  await release "$timeout" || give_up "it was not told to go on within $timeout s"
  echo resumed >"$folder/end"
}

stop_services() {
  local service
  for service in "$@"; do
    if systemctl --quiet is-active "$service"; then
      # Noted before: one that fails to stop may be down all the same.
      echo "$service" >>"$folder/stopped"
      systemctl stop "$service" || give_up "$service could not be stopped"
    fi
  done
}

give_up() {
  echo "ended: $1" >"$folder/end"
  exit 0
}

resume() {
  if [[ -e $folder/frozen ]]; then
    fsfreeze --unfreeze / || true
  fi
  if [[ -e $folder/stopped ]]; then
    xargs -r systemctl start <"$folder/stopped" || true
  fi
  publish "$(<"$folder/end")"
}

"$@"
