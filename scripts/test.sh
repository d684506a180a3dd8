#!/usr/bin/env bash
# test.sh SET-UP… -- CHECK…
#
# Makes the set-up, then every check, and closes with a line for each. A check
# that fails does not keep the others from running: one run shows everything.
set -euo pipefail
cd "$(dirname "$0")/.."

report=() failed=()

# took SECONDS prints a duration.
took() { printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); }

# target NAME makes it under a heading, and notes how it went.
target() {
	local start=$SECONDS word=passed
	printf '\n==> make %s\n' "$1"
	if ! make "$1"; then
		word=FAILED
		failed+=("$1")
	fi
	report+=("$(printf '  %-12s%-8s%s' "$1" "$word" "$(took $((SECONDS - start)))")")
	[[ $word == passed ]]
}

while [[ $# -gt 0 && $1 != -- ]]; do
	if ! target "$1"; then
		echo "make test: no tests ran, for \"make $1\" failed" >&2
		exit 1
	fi
	shift
done
shift
for check; do
	target "$check" || true
done

echo
printf '%s\n' "${report[@]}"
if [[ ${#failed[@]} -gt 0 ]]; then
	echo "make test: FAILED after $(took $SECONDS): ${failed[*]}"
	exit 1
fi
echo "make test: everything passed in $(took $SECONDS)"
