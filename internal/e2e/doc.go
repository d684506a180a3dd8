// Package e2e is the whole of Upkeep on real parts: "upkeep serve" and "upkeep
// agent" as processes, real Debian servers with real apt, kill -9. Its tests
// stand behind the build tag e2e.
package e2e
