#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Install a Flask application out of a git repository and keep it served by systemd, or remove it.
#
# Runs as root, as an instance's startup script (at every boot) or over ssh, any number of times.
# Each setting is an environment variable, else an attribute of the instance's metadata, else the
# default below:
#   FLASK_APP_STATE        flask-app-state        present or absent; present
#   FLASK_APP_REPOSITORY   flask-app-repository   URL of the repository; there is no default
#   FLASK_APP_REVISION     flask-app-revision     branch, tag or commit; the default branch
#   FLASK_APP_FACTORY      flask-app-factory      MODULE:FUNCTION that makes the application
#   FLASK_APP_INIT         flask-app-init         flask command that sets up the database, once
#   FLASK_APP_PORT         flask-app-port         TCP port
#   FLASK_APP_PATH         flask-app-path         page that answers when all is well
#
# Lines that open with "cloudspill:" tell whoever reads the serial output how it fares:
# STARTED, then READY (changed or unchanged) or FAILED with the step that failed.
set -Eeuo pipefail

readonly user=flask-app
readonly home=/opt/flask-app
readonly source=$home/source
readonly venv=$home/venv
readonly unit=/etc/systemd/system/flask-app.service
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME="${HOME:-/root}" DEBIAN_FRONTEND=noninteractive GIT_TERMINAL_PROMPT=0
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

step="read the settings"
changed=unchanged

say() { echo "cloudspill: $*"; }

# shellcheck disable=SC2317,SC2329  # called by the trap
failed() {
  local code=$1
  trap - ERR
  say "FAILED to $step (exit status $code)"
  exit 1
}
trap 'failed $?' ERR

begin() {
  step=$1
  echo "$step"
}

setting() {
  local name=$1 fallback=$2 variable=FLASK_APP_${1^^} url
  if [[ -v $variable ]]; then
    echo "${!variable}"
    return
  fi
  url=http://metadata.google.internal/computeMetadata/v1/instance/attributes/flask-app-$name
  curl -fsS --max-time 10 -H 'Metadata-Flavor: Google' "$url" 2>/dev/null || echo "$fallback"
}

install_packages() {
  local missing=()
  command -v git >/dev/null || missing+=(git)
  python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  if ((${#missing[@]} == 0)); then
    return
  fi
  begin "install the packages ${missing[*]}"
  local install=(apt-get -qq -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0
    install --no-install-recommends "${missing[@]}")
  # The lists of a fresh image may do; only if they are too old does an update pay for itself.
  "${install[@]}" || { apt-get -qq update && "${install[@]}"; }
}

# Bring $source to the revision that is asked for. What is installed goes on being served when the
# repository does not answer; a first installation cannot do without it.
fetch_source() {
  local before=none
  if [[ $(git -C "$source" remote get-url origin 2>/dev/null) != "$repository" ]]; then
    begin "clone $repository"
    rm -rf "$source.new"
    git clone --quiet -- "$repository" "$source.new"
    rm -rf "$source"
    mv "$source.new" "$source"
  else
    before=$(git -C "$source" rev-parse HEAD)
  fi
  begin "fetch revision ${revision:-HEAD} of $repository"
  if git -C "$source" fetch --quiet origin "${revision:-HEAD}"; then
    git -C "$source" reset --quiet --hard FETCH_HEAD
  elif [[ $before == none ]]; then
    false
  else
    echo "$repository does not answer: what is installed stays"
  fi
  [[ $(git -C "$source" rev-parse HEAD) == "$before" ]] || changed=changed
}

install_requirements() {
  local stamp=$home/installed wanted
  wanted=$(git -C "$source" rev-parse HEAD)
  if [[ -e $stamp && $(<"$stamp") == "$wanted" ]]; then
    return
  fi
  changed=changed
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    begin "make the virtual environment $venv"
    python3 -m venv --clear "$venv"
  fi
  begin "install the application's requirements"
  local requirements=(waitress)
  if [[ -e $source/pyproject.toml || -e $source/setup.py ]]; then
    requirements+=(-e "$source")
  fi
  if [[ -e $source/requirements.txt ]]; then
    requirements+=(-r "$source/requirements.txt")
  fi
  "$venv/bin/python" -m pip install --quiet "${requirements[@]}"
  echo "$wanted" >"$stamp"
}

initialise_database() {
  local stamp=$home/database-initialised
  id -u "$user" >/dev/null 2>&1 || useradd --system --home-dir "$home" --shell /usr/sbin/nologin "$user"
  install -d -o "$user" -g "$user" "$source/instance"
  if [[ -z $init || -e $stamp ]]; then
    return
  fi
  begin "set up the database (flask $init)"
  (cd "$source" && runuser -u "$user" -- "$venv/bin/flask" --app "$factory" "$init")
  touch "$stamp"
}

serve() {
  begin "start the service"
  local draft=$home/flask-app.service
  cat >"$draft" <<UNIT
[Unit]
Description=Flask application of $repository
After=network.target

[Service]
User=$user
WorkingDirectory=$source
ExecStart=$venv/bin/waitress-serve --listen=0.0.0.0:$port --call $factory
Restart=always
RestartSec=1
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
UNIT
  if ! cmp -s "$draft" "$unit"; then
    changed=changed
    install -m 0644 "$draft" "$unit"
    systemctl --quiet daemon-reload
    systemctl --quiet enable flask-app
  fi
  if [[ $changed == changed ]]; then
    systemctl restart flask-app
  else
    systemctl start flask-app
  fi
}

await_page() {
  begin "get an answer from http://127.0.0.1:$port$path"
  local deadline=$((SECONDS + 60))
  until curl -fsS --max-time 5 -o /dev/null "http://127.0.0.1:$port$path" 2>/dev/null; do
    if ((SECONDS > deadline)); then
      journalctl --no-pager --unit flask-app --lines 20 --output cat
      return 1
    fi
    sleep 0.1
  done
}

# The database goes with it; the packages stay.
remove() {
  begin "remove the application"
  if [[ -e $unit || -e $home ]]; then
    changed=changed
    systemctl --quiet disable --now flask-app 2>/dev/null || true
    rm -f "$unit"
    systemctl --quiet daemon-reload
    rm -rf "$home"
  fi
  if id -u "$user" >/dev/null 2>&1; then
    userdel "$user"
  fi
}

exec 9>/run/flask-app.lock
flock 9
say "STARTED"
if [[ $(setting state present) == absent ]]; then
  remove
  say "READY $changed"
  exit
fi
repository=$(setting repository "")
revision=$(setting revision "")
factory=$(setting factory board:create_app)
init=$(setting init init-db)
port=$(setting port 5000)
path=$(setting path /)
if [[ -z $repository ]]; then
  step="find the repository: the metadata has no flask-app-repository"
  false
fi
install -d "$home"
install_packages
fetch_source
install_requirements
initialise_database
serve
await_page
say "READY $changed"
