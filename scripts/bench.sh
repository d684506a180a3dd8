#!/bin/bash
# Runs all benchmarks and prints their medians as Markdown, with the machine
# that they ran on. What is measured is told in docs/benchmarks.md.
#
#   scripts/bench.sh [RAW]     RAW keeps what the benchmarks have printed
#
# BENCH_RUNS says how often (5); BENCH_ONLY=keystone runs that one alone, which
# the others leave out: it needs root, and takes five minutes each time.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${BENCH_RUNS:-5}
raw=${1:-.cache/bench.txt}
mkdir -p "$(dirname "$raw")"
: >"$raw"

# bench PACKAGE OPTIONS… runs a package's benchmarks.
bench() {
	go test -run '^$' -count "$runs" -timeout 30m "${@:2}" "./internal/$1" 2>&1 | tee -a "$raw" >&2
}

if [[ ${BENCH_ONLY:-} == keystone ]]; then
	bench e2e -tags e2e -bench Keystone -benchtime 1x -v
else
	bench bench -bench . -benchtime 1x
	bench store/sqlite -bench . -benchtime 0.5s
	bench store/postgres -bench . -benchtime 0.5s
	bench window -tags e2e -bench . -benchtime 0.1s
fi

memory=$(awk '/^MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo)
processor=$(awk -F ': *' '/^model name/ {print $2; exit}' /proc/cpuinfo)
disk=$(findmnt -nro FSTYPE,SOURCE -T "${TMPDIR:-/tmp}")
cat <<END
$(date -u +%Y-%m-%d), $(git describe --tags --always --dirty 2>/dev/null || echo unknown); $(nproc) × $processor, $memory; Linux $(uname -r); $disk; $(go env GOVERSION). Load before: $(cut -d ' ' -f 1-3 /proc/loadavg).

| benchmark | unit | median of $runs | least | most |
|---|---|---|---|---|
END
awk '
/^Benchmark/ {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) {
		key = name SUBSEP $(i + 1)
		if (!(key in n)) order[++keys] = key
		value[key, ++n[key]] = $i
	}
}
END {
	for (k = 1; k <= keys; k++) {
		key = order[k]
		for (i = 2; i <= n[key]; i++)
			for (j = i; j > 1 && value[key, j] + 0 < value[key, j - 1] + 0; j--) {
				v = value[key, j]; value[key, j] = value[key, j - 1]; value[key, j - 1] = v
			}
		split(key, part, SUBSEP)
		if (part[2] == "ns/op" && part[1] ~ /^(Due|API|Agent|Connected|Disk)/) continue
		printf "| %s | %s | %s | %s | %s |\n", part[1], part[2], value[key, int((n[key] + 1) / 2)], value[key, 1], value[key, n[key]]
	}
}' "$raw"
