#!/bin/sh
# Makes a repository with packages in two versions in the root $1, and installs
# the first ones there.
set -eu
root=$1

pkg() { # repository name version field postinst
	d=$(mktemp -d)
	mkdir -p "$d/DEBIAN" "$d/usr/share/$2"
	echo "$3" >"$d/usr/share/$2/version"
	if [ "$2" = conf ]; then
		mkdir "$d/etc"
		echo "version $3" >"$d/etc/conf.conf"
		echo /etc/conf.conf >"$d/DEBIAN/conffiles"
	fi
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Lab <lab@example.org>\nDescription: test\n%s' \
		"$2" "$3" "${4:+$4
}" >"$d/DEBIAN/control"
	if [ -n "${5:-}" ]; then
		printf '#!/bin/sh\n%s\n' "$5" >"$d/DEBIAN/postinst"
		chmod 755 "$d/DEBIAN/postinst"
	fi
	mkdir -p "$root/repo/$1"
	dpkg-deb --root-owner-group --build "$d" "$root/repo/$1" >/dev/null
	rm -r "$d"
}

release() { # repository label suite
	cd "$root/repo/$1"
	dpkg-scanpackages -m . >Packages 2>/dev/null
	printf 'Origin: Debian\nLabel: %s\nSuite: %s\nVersion: 12\nCodename: bookworm\nDate: %s\nSHA256:\n %s %s Packages\n' \
		"$2" "$3" "$(date -Ru)" "$(sha256sum Packages | cut -d' ' -f1)" "$(wc -c <Packages)" >Release
}

for p in plain held auto owned; do
	pkg main $p 1.0
	pkg main $p 2.0
done
pkg main fixed 1.0
pkg security fixed 2.0
pkg main grows 1.0
pkg main grows 2.0 'Depends: added'
pkg main added 1.0
pkg main stranger 1.0
pkg main along 1.0
pkg main along 2.0 'Depends: owned (>= 2.0)'
pkg main ousts 1.0
pkg main ousts 2.0 'Conflicts: plain'
pkg main conf 1.0
pkg main conf 2.0
pkg main bad 1.0
pkg main bad 2.0 '' 'exit 1'
pkg main kernel 1.0
pkg main kernel 2.0 '' 'touch /run/reboot-required; echo kernel >>/run/reboot-required.pkgs'
pkg main cut 1.0
pkg main cut 2.0 '' 'test -e /tmp/cut || { touch /tmp/cut; kill -9 $PPID; }'
pkg main slow 1.0
pkg main slow 2.0 '' 'echo once >>/tmp/slow; until test -e /tmp/go; do sleep 0.02; done'
release main Lab stable
release security Debian-Security stable-security

rm -f "$root"/etc/apt/sources.list.d/*
printf 'deb [trusted=yes] file:/repo/main ./\ndeb [trusted=yes] file:/repo/security ./\n' >"$root/etc/apt/sources.list"
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" >/dev/null; }
in_root apt-get update -qq
in_root apt-get install -qq -y plain=1.0 held=1.0 auto=1.0 owned=1.0 fixed=1.0 grows=1.0 along=1.0 ousts=1.0 conf=1.0 bad=1.0 kernel=1.0 cut=1.0 slow=1.0
in_root apt-mark -qq hold held
in_root apt-mark -qq auto auto
echo "the administrator's" >"$root/etc/conf.conf"
rm -rf "$root"/var/lib/apt/lists/*
