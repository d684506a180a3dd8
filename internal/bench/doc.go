// Package bench measures the whole of Upkeep beside the limits of the machine:
// a fleet that is due at once, the API under many clients, the memory of agents
// and of the server. Its benchmarks report figures of their own, so it is run
// by scripts/bench.sh, which takes the medians.
package bench
