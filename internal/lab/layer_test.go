//go:build linux && e2e

package lab

import (
	"os/exec"
	"sync"
	"testing"
)

// TestLabsBesideStartingPrograms makes labs while the test starts program after
// program. Each of those holds, until it has become its program, whatever this
// process has open, in a root of a lab too.
func TestLabsBesideStartingPrograms(t *testing.T) {
	enough := make(chan struct{})
	var starters sync.WaitGroup
	for range 4 {
		starters.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
					exec.Command("true").Run()
				}
			}
		})
	}
	t.Cleanup(func() { close(enough); starters.Wait() })
	for range 20 {
		New(t, 1, Base{})
	}
}
