#!/usr/bin/env bash
# Installs the Debian packages that the tests need and that are missing. When
# none is, it asks nobody for anything: no root, no network.
set -euo pipefail

packages=(
	ca-certificates git             # modules come over HTTPS; the version comes from git
	gcc libc6-dev                   # the race detector is linked by a C compiler
	shellcheck                      # scripts are linted too
	postgresql                      # the store's suite passes on both databases
	chromium                        # the portal is looked at in a browser
	mmdebstrap iproute2 util-linux  # the lab makes servers: a root, a network, namespaces
	dpkg-dev                        # and packages for them
	jq                              # scripts for hosts read JSON with it
	haproxy                         # a service's replicas are drained at a real balancer
	python3-dateutil                # another's idea of recurrences, to compare ours with
)

missing=()
for package in "${packages[@]}"; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[[ $status == installed ]] || missing+=("$package")
done
# npm brings the checker of the portal's accessibility. It may also have come
# with a Node.js of its own.
command -v npm >/dev/null || missing+=(npm)

if [[ ${#missing[@]} -gt 0 ]]; then
	as_root=()
	if [[ $(id -u) != 0 ]]; then
		if ! command -v sudo >/dev/null; then
			echo "missing packages; as root: apt-get install ${missing[*]}" >&2
			exit 1
		fi
		as_root=(sudo)
	fi
	echo "installing ${missing[*]}"
	apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
	"${apt[@]}" update
	"${apt[@]}" install -y --no-install-recommends "${missing[@]}"
fi

# Root's own folder need not be on the path of who uses sudo or a pipeline.
if ! command -v go >/dev/null; then
	echo "missing Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer: see https://go.dev/doc/install" >&2
	exit 1
fi
