#!/bin/sh
# Records what the real zypper and rpm print, into the folder of this script:
#   cp -a "$(the folder that lab.RPMRoot(t, "zypper") returns)" ROOT && sudo sh record.sh ROOT
# The root is changed; make a new copy for each recording. The first line of
# each file says what printed it, with which exit code.
set -eu
root=$1
if [ -z "${UPKEEP_RECORDS:-}" ]; then # in a namespace of its own, in which it has started before all else
	exec env UPKEEP_RECORDS=1 unshare --mount --pid --fork --kill-child --mount-proc sh "$0" "$root"
fi
mount -t proc proc "$root/proc"
here=$(cd "$(dirname "$0")" && pwd)
out=$here/recorded
rm -rf "$out" && mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }
# shellcheck disable=SC1091 # it is the root's
versions="$(in_root zypper --version), $(in_root rpm --version), $(. "$root/etc/os-release" && echo "$PRETTY_NAME")"
keep() { # file exit-code command…: what is in $work, with what it is
	file=$1 rc=$2
	shift 2
	{
		printf '# %s; exit %s: %s\n' "$versions" "$rc" "$*"
		grep -v 'rpm: RPM should not be used\|rpm: However assuming' "$work/said" || true
	} >"$out/$file"
}
looks() { # file arguments…: what zypper says on its first output, as XML
	file=$1
	shift
	in_root zypper --non-interactive --xmlout --no-refresh "$@" >"$work/said" 2>/dev/null && rc=0 || rc=$?
	keep "$file" "$rc" zypper --non-interactive --xmlout --no-refresh "$@"
}
does() { # file arguments…: all that zypper says
	file=$1
	shift
	in_root zypper --non-interactive "$@" >"$work/said" 2>&1 && rc=0 || rc=$?
	keep "$file" "$rc" zypper --non-interactive "$@"
}
query() { # file
	in_root rpm -qa --qf '%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{INSTALLTIME}\n' >"$work/said" 2>/dev/null
	keep "$1" 0 rpm -qa --qf …
}
install='install --type package --no-recommends --no-force-resolution'
# shellcheck disable=SC2086 # several words
{
	does refresh refresh
	query query
	looks updates list-updates --type package
	looks update update --type package --no-recommends --dry-run
	looks obsoleters search --type package --match-exact --obsoletes eaten
	looks obsoleters-none search --type package --match-exact --obsoletes plain
	looks patches list-patches
	looks info info --type patch LAB-2024:0001 LAB-2024:0002 LAB-2024:0003
	looks reboot-none needs-rebooting
	looks locks-none locks
	in_root zypper --non-interactive addlock held 'Upper*' >/dev/null
	in_root zypper --non-interactive addlock --type pattern base >/dev/null
	looks locks locks
	looks updates-locked list-updates --type package
	looks would-install $install --dry-run grows=2.0-1 kernel-core=6.1.4-1
	looks would-ousts $install --dry-run ousts=2.0-1
	looks would-eats $install --dry-run eats=2.0-1
	looks would-along $install --dry-run along=2.0-1
	looks would-restore $install --dry-run --oldpackage plain=1.0-1
	does download --no-refresh $install --download-only grows=2.0-1 plain=2.0-1
	does install --no-refresh $install grows=2.0-1 conf=2.0-1 kernel-core=6.1.2-1
	does conflict --no-refresh $install ousts=2.0-1 libstdc++6=2.0-1
	does not-found --no-refresh $install plain=3.0-1 libstdc++6=2.0-1
	does failed-post --no-refresh $install bad=2.0-1 fixed=2.0-1
	does failed-pre --no-refresh $install badpre=2.0-1 owned=2.0-1
	does restore --no-refresh $install --oldpackage bad=1.0-1
	does glibc --no-refresh $install glibc=2.0-1
	looks reboot needs-rebooting
	does cut --no-refresh $install cut=2.0-1
	query query-cut
	looks would-mend $install --dry-run --force cut=2.0-1
	does mend --no-refresh $install --force cut=2.0-1
	printf '[dead]\nname=dead\nenabled=1\nbaseurl=http://127.0.0.1:9/dead\n' >"$root/etc/zypp/repos.d/dead.repo"
	does refresh-dead refresh
	rm "$root/etc/zypp/repos.d/dead.repo"
	in_root sh -c 'sleep 1000 & echo $! >/run/zypp.pid; ZYPP_LOCK_TIMEOUT=0 zypper --non-interactive --xmlout --no-refresh locks; echo $? >/rc' >"$work/said" 2>&1
	keep locked "$(cat "$root/rc")" zypper --non-interactive --xmlout --no-refresh locks
}
