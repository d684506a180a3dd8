#!/bin/sh
# Records what the real apt and dpkg print, into the folder of this script:
#   mmdebstrap --variant=apt bookworm ROOT && sudo sh record.sh ROOT
# The root is changed; make a new one for each recording.
set -eu
root=$1
here=$(cd "$(dirname "$0")" && pwd)
out=$here/recorded
rm -rf "$out" && mkdir -p "$out"

pkg() { # repo name version "Field: value" postinst-line
	d=$(mktemp -d)
	mkdir -p "$d/DEBIAN" "$d/usr/share/$2"
	echo "$3" >"$d/usr/share/$2/version"
	printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Lab <lab@example.org>\nDescription: test\n%s' \
		"$2" "$3" "${6:-all}" "${4:+$4
}" >"$d/DEBIAN/control"
	if [ -n "${5:-}" ]; then
		printf '#!/bin/sh\n%s\n' "$5" >"$d/DEBIAN/postinst"
		chmod 755 "$d/DEBIAN/postinst"
	fi
	mkdir -p "$root/repo/$1"
	dpkg-deb --root-owner-group --build "$d" "$root/repo/$1" >/dev/null
	rm -r "$d"
}

release() { # repo origin label suite
	(cd "$root/repo/$1" && dpkg-scanpackages -m . >Packages 2>/dev/null &&
		printf 'Origin: %s\nLabel: %s\nSuite: %s\nVersion: 12\nCodename: bookworm\nDate: %s\nSHA256:\n %s %s Packages\n' \
			"$2" "$3" "$4" "$(date -Ru)" "$(sha256sum Packages | cut -d' ' -f1)" "$(wc -c <Packages)" >Release)
}

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
record() { # file command…: what it prints, and its exit code
	f=$out/$1
	shift
	in_root "$@" >"$f" 2>&1 && rc=0 || rc=$?
	echo "$rc" >"$f.rc"
}
opts="-q -y --no-remove -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"

for v in 1.0 2.0; do
	repo=main
	[ $v = 1.0 ] || repo=security
	pkg main plain $v
	pkg main held $v
	pkg main auto $v
	pkg $repo fixed $v
	pkg main foreign $v 'Multi-Arch: same' '' amd64
done
pkg main grows 1.0
pkg main grows 2.0 'Depends: added'
pkg main added 1.0
pkg main bad 1.0
pkg main bad 2.0 '' 'echo "the data can not be migrated" >&2; exit 1'
pkg main needsbad 1.0
pkg main needsbad 2.0 'Depends: bad (>= 2.0)'
pkg main ousts 1.0
pkg main ousts 2.0 'Conflicts: plain'
pkg main cut 1.0
pkg main cut 2.0 '' 'kill -9 $PPID'
release main Lab Lab stable
release security Debian Debian-Security stable-security
rm -f "$root"/etc/apt/sources.list.d/*
{
	echo 'deb [trusted=yes] file:/repo/main ./'
	echo 'deb [trusted=yes] file:/repo/security ./'
} >"$root/etc/apt/sources.list"

record update apt-get update -q -o APT::Update::Error-Mode=any
in_root apt-get install -qq -y plain=1.0 held=1.0 auto=1.0 fixed=1.0 grows=1.0 bad=1.0 needsbad=1.0 ousts=1.0 foreign=1.0 cut=1.0 >/dev/null
in_root apt-mark -qq hold held >/dev/null
in_root apt-mark -qq auto auto >/dev/null

record showauto apt-mark showauto
record query dpkg-query -W -f '${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n'
record upgrade apt-get -s -q upgrade --with-new-pkgs
record uris apt-get -qq -y --print-uris upgrade --with-new-pkgs
record install apt-get install $opts --only-upgrade auto=2.0 grows=2.0 foreign=2.0
record showauto-after apt-mark showauto
record not-found apt-get install $opts --only-upgrade plain=3.0
record would-remove apt-get install $opts --only-upgrade ousts=2.0
record downgrade-refused apt-get install $opts --only-upgrade auto=1.0
record failed apt-get install $opts --only-upgrade bad=2.0 needsbad=2.0 fixed=2.0
record query-failed dpkg-query -W -f '${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n'
record upgrade-failed apt-get -s -q upgrade --with-new-pkgs
record configure-failed dpkg --configure -a
record fix-failed apt-get install $opts -f
record restore apt-get install $opts --allow-downgrades bad=1.0 needsbad=1.0
record upgrade-restored apt-get -s -q upgrade --with-new-pkgs
record cut apt-get install $opts --only-upgrade cut=2.0
record query-cut dpkg-query -W -f '${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n'
record interrupted apt-get install $opts --only-upgrade plain=2.0
printf '#!/bin/sh\n' >"$root/var/lib/dpkg/info/cut.postinst"
record repaired dpkg --configure -a
in_root dpkg --force-depends -r added >/dev/null 2>&1 || true
record upgrade-broken apt-get -s -q upgrade --with-new-pkgs
record fix apt-get install $opts -f
echo 'deb [trusted=yes] http://127.0.0.1:9/dead ./' >>"$root/etc/apt/sources.list"
record update-dead apt-get update -q -o APT::Update::Error-Mode=any
sed -i '$d' "$root/etc/apt/sources.list"
perl -e 'use Fcntl qw(:flock); open(F,">>",$ARGV[0]) or die; my $l=pack("s s l! l! i",1,0,0,0,0); fcntl(F,6,$l) or die "$!"; system("sh","-c",$ARGV[1]);' \
	"$root/var/lib/dpkg/lock-frontend" "chroot '$root' env LC_ALL=C apt-get install $opts -o DPkg::Lock::Timeout=1 plain=2.0 >'$out/locked' 2>&1; echo \$? >'$out/locked.rc'"
perl -e 'use Fcntl qw(:flock); open(F,">>",$ARGV[0]) or die; my $l=pack("s s l! l! i",1,0,0,0,0); fcntl(F,6,$l) or die "$!"; system("sh","-c",$ARGV[1]);' \
	"$root/var/lib/apt/lists/lock" "chroot '$root' env LC_ALL=C apt-get update -q -o DPkg::Lock::Timeout=1 >'$out/locked-lists' 2>&1; echo \$? >'$out/locked-lists.rc'"
