#!/bin/sh
# Makes a repository of small rpm packages in two versions, with advisories, in
# the Debian root that it runs in, and installs the first ones there:
#   publish.sh dnf|zypper
set -eu
tool=$1
export LC_ALL=C.UTF-8 HOME=/root
mkdir -p /etc/rpm /repo /build
# Debian keeps rpm's database in the home folder and warns at each use.
printf '%%_dbpath /var/lib/rpm\n%%_topdir /build\n' >/etc/rpm/macros
rpm --initdb
native=$(rpm --eval %_target_cpu)

pkg() { # name [epoch:]version arch header...; with scriptlets in $pre and $post
	name=$1 version=${2#*:} arch=$3 epoch=0
	case $2 in *:*) epoch=${2%%:*} ;; esac
	shift 3
	{
		printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: test\nLicense: Apache-2.0\n' "$name" "$version"
		[ "$epoch" = 0 ] || echo "Epoch: $epoch"
		[ "$arch" != noarch ] || echo 'BuildArch: noarch'
		for header; do echo "$header"; done
		# Packages of two architectures, or of several kernels, share no file.
		file=/usr/share/$name/$version.$arch
		printf '%%description\ntest\n%%install\nmkdir -p %%{buildroot}/usr/share/%s %%{buildroot}/etc\n' "$name"
		printf 'echo %s >%%{buildroot}%s\n' "$version" "$file"
		[ "$name" != conf ] || echo "echo version $version >%{buildroot}/etc/conf.conf"
		[ -z "${pre:-}" ] || printf '%%pre\n%s\n' "$pre"
		[ -z "${post:-}" ] || printf '%%post\n%s\n' "$post"
		printf '%%files\n%s\n' "$file"
		[ "$name" != conf ] || echo '%config(noreplace) /etc/conf.conf'
	} >/build/spec
	pre='' post=''
	rpmbuild -bb --quiet --target "$arch" --define '_rpmdir /repo' --define "_rpmfilename $name-$version-1.$arch.rpm" \
		--define 'debug_package %{nil}' /build/spec >/build/log 2>&1 || { cat /build/log >&2 && exit 1; }
}

pkg shell 1.0 noarch 'Provides: /bin/sh' # what scriptlets need
first=shell-1.0
for name in plain held owned fixed Upper_Name perl-HTTP-Date gtk+ libstdc++6; do
	pkg "$name" 1.0 noarch
	pkg "$name" 2.0 noarch
	first="$first $name-1.0"
done
pkg epoch 1:1.0 noarch
pkg epoch 1:2.0~rc1 noarch
pkg grows 1.0 noarch
pkg grows 2.0 noarch 'Requires: added'
pkg added 1.0 noarch
pkg stranger 1.0 noarch
pkg along 1.0 noarch
pkg along 2.0 noarch 'Requires: owned >= 2.0'
pkg ousts 1.0 noarch
pkg ousts 2.0 noarch 'Conflicts: plain'
pkg eats 1.0 noarch
pkg eats 2.0 noarch 'Obsoletes: eaten < 2.0'
pkg eaten 1.0 noarch
pkg conf 1.0 noarch
pkg conf 2.0 noarch
pkg bad 1.0 noarch
post='echo "the data can not be migrated" >&2; exit 1' pkg bad 2.0 noarch
pkg badpre 1.0 noarch
pre='echo "not with this data" >&2; exit 3' pkg badpre 2.0 noarch
pkg cut 1.0 noarch
# shellcheck disable=SC2016 # rpm's own number, when it runs
post='test -e /tmp/cut || { touch /tmp/cut; kill -9 $PPID; }' pkg cut 2.0 noarch
pkg slow 1.0 noarch
post='echo once >>/tmp/slow; until test -e /tmp/go; do sleep 0.02; done' pkg slow 2.0 noarch
pkg glibc 1.0 noarch 'Provides: installhint(reboot-needed)'
pkg glibc 2.0 noarch 'Provides: installhint(reboot-needed)'
first="$first epoch-1.0 grows-1.0 along-1.0 ousts-1.0 eats-1.0 eaten-1.0 conf-1.0 bad-1.0 badpre-1.0 cut-1.0 slow-1.0 glibc-1.0"
files=''
for name in $first; do files="$files /repo/$name-1.noarch.rpm"; done
for version in 6.1.1 6.1.2 6.1.3 6.1.4; do
	pkg kernel-core $version "$native" 'Provides: installonlypkg(kernel)' 'Provides: multiversion(kernel)'
done
files="$files /repo/kernel-core-6.1.1-1.$native.rpm"
if [ "$native-$tool" = x86_64-dnf ]; then # libzypp installs a name in one architecture only
	for arch in x86_64 i686; do
		pkg both 1.0 "$arch"
		pkg both 2.0 "$arch"
		files="$files /repo/both-1.0-1.$arch.rpm"
	done
fi

package() { # name [epoch:]version arch
	epoch=0
	case $2 in *:*) epoch=${2%%:*} ;; esac
	echo "<package name=\"$1\" version=\"${2#*:}\" release=\"1\" epoch=\"$epoch\" arch=\"$3\"><filename>$1-${2#*:}-1.$3.rpm</filename></package>"
}
advisory() { # number type severity day; packages from the input
	echo "<update from=\"lab@example.org\" status=\"final\" type=\"$2\" version=\"1\"><id>LAB-2024:$1</id><title>advisory $1</title>
		<severity>$3</severity><issued date=\"$4 10:00:00\"/><description>text</description>
		<pkglist><collection short=\"lab\"><name>lab</name>$(cat)</collection></pkglist></update>"
}
{
	echo '<updates>'
	{ package fixed 2.0 noarch && package epoch 1:2.0~rc1 noarch; } | advisory 0001 security Important 2024-03-05
	package plain 2.0 noarch | advisory 0002 bugfix None 2024-04-05
	# It is of security although the newest kernel is not: it lies in between.
	package kernel-core 6.1.3 "$native" | advisory 0003 security Critical 2024-05-05
	echo '</updates>'
} >/build/updateinfo.xml
createrepo_c -q /repo
modifyrepo_c --mdtype=updateinfo /build/updateinfo.xml /repo/repodata >/dev/null

case $tool in
dnf)
	mkdir -p /etc/yum.repos.d /etc/dnf/vars
	printf '[lab]\nname=lab\nbaseurl=file:///repo\ngpgcheck=0\nenabled=1\n' >/etc/yum.repos.d/lab.repo
	echo 12 >/etc/dnf/vars/releasever
	sed -i 's/^enabled *=.*/enabled = 0/' /etc/dnf/plugins/local.conf # a repository of Debian's that is not there
	;;
zypper)
	mkdir -p /etc/zypp/repos.d
	printf '[lab]\nname=lab\nbaseurl=dir:///repo\ngpgcheck=0\nenabled=1\nautorefresh=0\ntype=rpm-md\n' >/etc/zypp/repos.d/lab.repo
	printf '[main]\nmultiversion = provides:multiversion(kernel)\n' >/etc/zypp/zypp.conf # as SUSE has it
	;;
esac
# shellcheck disable=SC2086 # a list of files
rpm -i --nosignature --ignorearch $files 2>&1 | grep -v 'rpm: ' || true
# shellcheck disable=SC2086
rpm -q $first >/dev/null
rm -rf /build
