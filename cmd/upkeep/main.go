// Command upkeep is the control plane, the agent and the command line of
// Upkeep, the maintenance control plane for clouds.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"upkeep/internal/cli"
	"upkeep/internal/start"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], version, os.Stdin, os.Stdout, os.Stderr,
		start.Serve(version), start.Agent(version), start.Demo(version))
	stop()
	os.Exit(code)
}
