#!/usr/bin/env bash
# Generates everything again and fails when that changes a file. It compares
# with the files as they were, not with git, so work in progress is no obstacle;
# what it generated stays, ready to be committed.
set -euo pipefail
cd "$(dirname "$0")/.."

# sums prints checksum and name of every generated file: those that say so in a
# line of their own, as Go's tools agreed, and the API's document.
sums() {
	{
		grep -rlE --include='*.go' '^// Code generated .* DO NOT EDIT\.$' cmd client internal || true
		find . -name '.?*' -prune -o -name 'openapi.*' ! -name '*.go' -print
	} | sort | xargs -r sha256sum
}

before=$(sums)
make generate
after=$(sums)
if [[ $before != "$after" ]]; then
	echo 'generated files were not as their sources say; commit what "make generate" made of:' >&2
	diff <(echo "$before") <(echo "$after") | sed -n 's/^[<>] [0-9a-f]*  /  /p' | sort -u >&2
	exit 1
fi
echo "$(wc -l <<<"$after") generated files are as their sources say"
