#!/usr/bin/env bash
# Prints what changelog/unreleased says, the kinds in the order in which a user
# wants to know them. CONTRIBUTING.md tells how an entry is written.
set -euo pipefail
cd "$(dirname "$0")/../changelog/unreleased"

shopt -s nullglob
for kind in Security Breaking Fix New; do
	heading=$kind
	for entry in *.md; do
		grep -q "^$kind: " "$entry" || continue
		[[ -z $heading ]] || printf '## %s\n\n' "$heading"
		heading=
		sed -e "1s/^$kind: \(.*\)/- **\1**/" -e '2,$s/^\(.\)/  \1/' "$entry"
		echo
	done
done
