#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Fetch a program out of a bucket, verify it, and have it make another instance.
#
# Runs as root, as an instance's startup script, at every boot. It reads the bucket as the instance's
# own service account. Its settings are attributes of the instance's metadata:
#   bootstrap-bucket     the bucket
#   bootstrap-manifest   SHA-256 sum of the bucket's object SHA256SUMS, which has those of the others
#   bootstrap-attempt    what tells one attempt from another; one that was successful is not repeated
#
# A key file, where the bucket has one, is only ever in memory (/run), for root alone, and removed at
# the end. Lines that open with "cloudspill:" tell whoever reads the serial output how it fares:
# STARTED, then READY or FAILED with the reason, each followed by the attempt.
set -Eeuo pipefail

readonly work=/run/cloudspill-bootstrap
readonly stamp=/var/lib/cloudspill-bootstrap/launched
readonly metadata=http://metadata.google.internal/computeMetadata/v1/instance
# A grant takes effect within minutes: https://cloud.google.com/iam/docs/access-change-propagation
readonly patience=300
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

attempt=unknown
step="read the settings"

say() { echo "cloudspill: $*"; }

failed() {
  trap - ERR
  say "FAILED $attempt: could not $step${1:+: $1}"
  exit 1
}
trap 'failed "exit status $?"' ERR

get() { curl -fsS --retry 5 --retry-connrefused --max-time 10 -H 'Metadata-Flavor: Google' "$metadata/$1"; }

token() {
  get service-accounts/default/token |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}

# Fetch an object of the bucket. The token goes by a descriptor, since others can read arguments.
fetch() {
  local name=$1 status reason pause=1 until=$((SECONDS + patience))
  step="fetch gs://$bucket/$name"
  while true; do
    status=$(curl -sS --max-time 60 -H @<(printf 'Authorization: Bearer %s' "$token") \
      -o "$work/$name" -w '%{http_code}' \
      "https://storage.googleapis.com/storage/v1/b/$bucket/o/$name?alt=media") || status=000
    case $status in
      200) return ;;
      404) failed "it is gone; run the playbook again" ;;
      000) reason="no answer" ;;
      401 | 403) reason="HTTP $status; this instance's service account needs roles/storage.objectViewer \
on the bucket, and a scope of Cloud Storage" ;;
      408 | 429 | 5??) reason="HTTP $status" ;;
      *) failed "HTTP $status" ;;
    esac
    ((SECONDS < until)) || failed "$reason"
    say "waiting to $step: $reason"
    sleep "$pause"
    ((pause < 16)) && pause=$((pause * 2))
    token=$(token)
  done
}

# Refuse a file whose SHA-256 sum is another than expected.
verify() {
  local name=$1 expected=$2 found
  step="verify gs://$bucket/$name"
  found=$(sha256sum <"$work/$name")
  [[ ${found%% *} == "$expected" ]] ||
    failed "its SHA-256 sum is wrong: expected $expected, found ${found%% *}"
}

exec 9>/run/cloudspill-bootstrap.lock
flock 9
attempt=$(get attributes/bootstrap-attempt)
say "STARTED $attempt"
if [[ -e $stamp && $(<"$stamp") == "$attempt" ]]; then
  say "READY $attempt unchanged: this instance has done its work"
  exit 0
fi
umask 077
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
bucket=$(get attributes/bootstrap-bucket)
manifest=$(get attributes/bootstrap-manifest)
step="get a token for the attached service account"
token=$(token)
fetch SHA256SUMS
verify SHA256SUMS "$manifest"
while read -r expected name; do
  fetch "$name"
  verify "$name" "$expected"
done <"$work/SHA256SUMS"
say "verified $(wc -l <"$work/SHA256SUMS") files of gs://$bucket"

step="make the instance"
key=()
[[ -e $work/key.json ]] && key=(--key-file "$work/key.json")
exec 3>&1
reason=$(python3 -B "$work/launch.py" --specification "$work/instance.json" \
  --startup-script "$work/startup-script.sh" "${key[@]}" 2>&1 >&3 9>&-) || failed "${reason##*$'\n'}"
step="remember the attempt"
install -D -m 0644 /dev/stdin "$stamp" <<<"$attempt"
say "READY $attempt changed"
