//go:build linux && e2e

package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledRunLeavesNothing kills a test process that has a lab. Its servers
// and programs must go with it, its mounts and files by the next lab. The
// process that is killed is this test again, told by its environment.
func TestKilledRunLeavesNothing(t *testing.T) {
	t.Parallel()
	const role = "UPKEEP_LAB_TO_BE_KILLED"
	if os.Getenv(role) != "" {
		l := New(t, 2, withSystemd)
		l.Boot(t)
		program := l.Command(t.Context(), "sleep", "1000")
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("lab", l.dir, program.Process.Pid, l.Servers[0].pid, l.Servers[1].pid)
		select {}
	}

	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), role+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var dir string
	var pids [3]int
	lines := bufio.NewScanner(out)
	for dir == "" && lines.Scan() {
		fmt.Sscanf(lines.Text(), "lab %s %d %d %d", &dir, &pids[0], &pids[1], &pids[2])
	}
	if mounts, err := mountsUnder(dir); dir == "" || err != nil || len(mounts) == 0 {
		t.Fatalf("the lab to be killed is in %q with mounts %q, %v", dir, mounts, err)
	}

	cmd.Process.Kill()
	cmd.Wait()
	for _, pid := range pids {
		for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
	New(t, 1, Base{})
	if mounts, err := mountsUnder(dir); err != nil || len(mounts) != 0 {
		t.Errorf("still mounted: %q, %v", mounts, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder of the killed lab: %v", err)
	}
	noGroups(t, groupOf(dir))
}

// alive says whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
