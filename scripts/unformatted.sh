#!/usr/bin/env bash
# Fails, and names them, when Go files are not as gofmt has them.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(find . -name '.?*' -prune -o -name '*.go' -print0 | xargs -0 gofmt -s -l)
if [[ -n $unformatted ]]; then
	printf 'not formatted; "make fmt" does it:\n%s\n' "$unformatted" >&2
	exit 1
fi
