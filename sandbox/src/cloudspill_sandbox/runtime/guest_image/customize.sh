#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs when the packages are installed. Arguments: the guest's root, a directory with:
#   files/          copied over the root
#   certificates/   *.crt to trust
#   packages/       receives every package that was downloaded, for the next build
# and the packages to have at hand, uninstalled.
set -eu
root=$1 seed=$2
shift 2

cp -R --no-preserve=ownership,mode "$seed/files/." "$root/"
cp "$seed"/certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$root" update-ca-certificates >/dev/null

# A machine has no raw sockets, and a program is not started with a right that cannot be had. ping
# does without: the kernel lets every group open its kind of datagram socket.
chroot "$root" setcap -r /usr/bin/ping

# Each machine gets its own; no time is spent on the slow kind (RSA) at every first boot.
rm -f "$root"/etc/ssh/ssh_host_*
sed -i \
    -e 's/^host_key_types *=.*/host_key_types = ecdsa,ed25519/' \
    -e 's/^clock_skew_daemon *=.*/clock_skew_daemon = false/' \
    -e 's/^set_boto_config *=.*/set_boto_config = false/' \
    -e 's/^setup *=.*/setup = false/' \
    "$root/etc/default/instance_configs.cfg"

# What a container has no hardware, kernel or console for, and timers that would take the
# package lock behind the user's back.
units="$root/etc/systemd/system"
for unit in \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-tmpfiles-clean.timer console-getty.service getty-static.service getty@tty1.service \
    cryptsetup.target integritysetup.target veritysetup.target remote-fs.target \
    dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount \
    sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount kmod-static-nodes.service systemd-ask-password-console.path \
    systemd-ask-password-wall.path systemd-binfmt.service systemd-firstboot.service \
    systemd-journal-flush.service systemd-machine-id-commit.service systemd-modules-load.service \
    systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pstore.service \
    systemd-random-seed.service systemd-remount-fs.service systemd-repart.service \
    systemd-sysctl.service systemd-tmpfiles-setup-dev.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service
do
    ln -sf /dev/null "$units/$unit"
done
mkdir -p "$units/multi-user.target.wants" "$root/etc/systemd/system-generators"
# Started by D-Bus when somebody asks it for a reboot.
ln -sf /dev/null "$units/multi-user.target.wants/systemd-logind.service"
for generator in bless-boot cryptsetup getty gpt-auto hibernate-resume integritysetup veritysetup; do
    ln -sf /dev/null "$root/etc/systemd/system-generators/systemd-$generator-generator"
done
ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"

# Packages that applications commonly need come from the cache, not from far away; installed
# they are only by whoever asks for them. (File names are the second field of --print-uris.)
# Links, not copies: a build that is killed leaves no half package behind.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
archives="$root/var/cache/apt/archives"
cp -lf "$archives"/*.deb "$seed/packages/"
rm "$archives"/*.deb
apt-get -qq --yes -o APT::Install-Recommends=true --print-uris install "$@" | while read -r _ name _; do
    if [ -e "$seed/packages/$name" ]; then cp -l "$seed/packages/$name" "$archives/"; fi
done
apt-get -qq --yes -o APT::Install-Recommends=true --download-only install "$@" >/dev/null
cp -lf "$archives"/*.deb "$seed/packages/"
# Settings of the build alone: proxies, and packages that are not synced to the disk.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
chroot "$root" apt-cache gencaches
