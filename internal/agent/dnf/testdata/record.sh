#!/bin/sh
# Records what the real dnf and rpm print, into the folder of this script:
#   cp -a "$(the folder that lab.RPMRoot(t, "dnf") returns)" ROOT && sudo sh record.sh ROOT
# The root is changed; make a new copy for each recording. The first line of
# each file says what printed it, with which exit code.
set -eu
root=$1
if [ -z "${UPKEEP_RECORDS:-}" ]; then # in a namespace of its own, in which it has started before all else
	exec env UPKEEP_RECORDS=1 unshare --mount --pid --fork --kill-child --mount-proc sh "$0" "$root"
fi
mount -t proc proc "$root/proc"
stat "$root/proc/1" >/dev/null # the age of which dnf takes for the time of the boot
sleep 1                        # and it compares whole seconds
here=$(cd "$(dirname "$0")" && pwd)
out=$here/recorded
rm -rf "$out" && mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC "$@"; }
# shellcheck disable=SC1091 # it is the root's
versions="dnf $(in_root dnf --version | head -1), $(in_root rpm --version), $(. "$root/etc/os-release" && echo "$PRETTY_NAME")"
keep() { # file exit-code command…: what is in $work, with what it is
	file=$1 rc=$2
	shift 2
	{
		printf '# %s; exit %s: %s\n' "$versions" "$rc" "$*"
		grep -v '^rpm: RPM should not be used\|^rpm: However assuming' "$work/said" || true
	} >"$out/$file"
}
looks() { # file command…: what it says on its first output
	file=$1
	shift
	in_root "$@" >"$work/said" 2>/dev/null && rc=0 || rc=$?
	keep "$file" "$rc" "$@"
}
does() { # file command…: all that it says
	file=$1
	shift
	in_root "$@" >"$work/said" 2>&1 && rc=0 || rc=$?
	keep "$file" "$rc" "$@"
}
format='%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{INSTALLTIME}\n'
updates='%{name}\t%{epoch}\t%{version}\t%{release}\t%{arch}\t%{downloadsize}\t%{buildtime}\t%{repoid}'
flags='--setopt=*.metadata_expire=-1 --setopt=best=False --setopt=clean_requirements_on_remove=False'
# shellcheck disable=SC2086 # several flags
{
	looks version dnf --version
	does history-none dnf -C -q history info last
	does updates-never-fetched dnf -C -q repoquery --upgrades --latest-limit=1 --qf "$updates"
	does refresh dnf -y --setopt=skip_if_unavailable=False makecache --refresh
	looks query rpm -qa --qf "$format"
	looks several rpm -q --qf '%{NAME}\t%{ARCH}\n' --whatprovides 'installonlypkg(kernel)' 'multiversion(kernel)' kernel
	looks updates dnf -C -q repoquery --upgrades --latest-limit=1 --qf "$updates"
	looks upgrade dnf -C $flags --assumeno -v upgrade
	looks obsoleters dnf -C -q repoquery --available --qf '%{name}' --whatobsoletes eaten,nothing
	looks security dnf -C -q updateinfo list --security
	looks advisories dnf -C -q updateinfo list
	looks info dnf -C -q updateinfo info
	in_root dnf -q versionlock add held >/dev/null
	does locks cat /etc/dnf/plugins/versionlock.list
	looks updates-locked dnf -C -q repoquery --upgrades --latest-limit=1 --qf "$updates"
	looks would-ousts dnf -C $flags --assumeno -v upgrade ousts-0:2.0-1
	looks would-eats dnf -C $flags --assumeno -v upgrade eats-0:2.0-1
	looks would-along dnf -C $flags --assumeno -v upgrade along-0:2.0-1
	looks would-stranger dnf -C $flags --assumeno -v upgrade stranger-0:1.0-1
	does download dnf -y $flags upgrade --downloadonly grows-0:2.0-1 plain-0:2.0-1
	does install dnf -y $flags upgrade grows-0:2.0-1 conf-0:2.0-1 kernel-core-0:6.1.2-1
	does partly dnf -y $flags upgrade ousts-0:2.0-1 perl-HTTP-Date-0:2.0-1
	does not-found dnf -y $flags upgrade plain-0:3.0-1
	does not-installed dnf -y $flags upgrade stranger-0:1.0-1
	does failed-post dnf -y $flags upgrade bad-0:2.0-1 fixed-0:2.0-1
	does failed-pre dnf -y $flags upgrade badpre-0:2.0-1 owned-0:2.0-1
	does history-failed dnf -C -q history info last
	looks would-restore dnf -C $flags --assumeno -v downgrade bad-0:1.0-1
	does restore dnf -y $flags downgrade bad-0:1.0-1
	does reboot-none dnf -C -q needs-restarting -r
	does glibc dnf -y $flags upgrade glibc-0:2.0-1
	looks reboot dnf -C -q needs-restarting -r
	looks plugin-missing dnf -C -q needs-restarted -r
	does cut dnf -y $flags upgrade cut-0:2.0-1
	looks query-cut rpm -qa --qf "$format"
	looks history-cut dnf -C -q history info last
	looks duplicates dnf -C -q check --duplicates
	looks would-mend dnf -C $flags --assumeno -v reinstall cut-0:2.0-1
	does mend dnf -y $flags reinstall cut-0:2.0-1
	does history-mended dnf -C -q history info last
	printf '[dead]\nname=dead\nbaseurl=http://127.0.0.1:9/dead\n' >"$root/etc/yum.repos.d/dead.repo"
	does refresh-dead dnf -y --setopt=skip_if_unavailable=False makecache --refresh
}
