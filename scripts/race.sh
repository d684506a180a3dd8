#!/usr/bin/env bash
# race.sh FLAGS…
#
# Runs the tests of every package under the race detector. In long simulations
# the detector itself dies now and then, of a check of its own ("ThreadSanitizer:
# CHECK failed"): that says nothing of what it looked at, so such a package is
# run again, twice at most. Whatever a test or the detector finds, fails at once.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# died lists the packages that failed by the detector's death alone. It is an
# error if one failed otherwise.
died() {
	awk '
		/ThreadSanitizer: CHECK failed/ { died = 1 }
		/^ *--- FAIL|DATA RACE|^panic: / { found = 1 }
		/^(ok  |FAIL|\?   )\t/ {
			if ($1 == "FAIL") { if (died && !found) print $2; else wrong = 1 }
			died = found = 0
		}
		END { exit wrong }
	' "$out"
}

packages=(./...)
for _ in once twice; do
	if go test -race "$@" "${packages[@]}" 2>&1 | tee "$out"; then
		exit
	fi
	again=$(died) && [[ -n $again ]] || exit 1
	mapfile -t packages <<<"$again"
	echo "The race detector died in ${packages[*]}: once more."
done
exec go test -race "$@" "${packages[@]}"
