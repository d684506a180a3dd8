package storetest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// process is a worker and what it says.
type process struct {
	t     testing.TB
	owner string
	cmd   *exec.Cmd
	tell  io.WriteCloser
	lines chan string // what it says; closed when it has ended
}

// launch starts a worker. It ends with the test at the latest.
func launch(t testing.TB, j job) *process {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, owner: j.Owner, cmd: exec.Command(os.Args[0]), lines: make(chan string, 10_000)}
	p.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if p.tell, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for said := bufio.NewScanner(out); said.Scan(); {
			p.lines <- said.Text()
		}
		_ = p.cmd.Wait() // it was killed, or has said what failed
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// expect waits for a line that begins so, and gives the rest of it.
func (p *process) expect(word string) string {
	p.t.Helper()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("%s ended before it said %q", p.owner, word)
			}
			if rest, found := strings.CutPrefix(line, word); found {
				return strings.TrimSpace(rest)
			}
			if strings.HasPrefix(line, "failed") {
				p.t.Fatalf("%s: %s", p.owner, line)
			}
		case <-time.After(20 * time.Second):
			p.t.Fatalf("%s does not say %q", p.owner, word)
		}
	}
}

// goOn gives it the line that it waits for.
func (p *process) goOn() {
	p.t.Helper()
	if _, err := io.WriteString(p.tell, "go\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends it as a power cut would, and waits until it is gone.
func (p *process) kill() (unread []string) {
	_ = p.cmd.Process.Kill() // it may be gone already
	for line := range p.lines {
		unread = append(unread, line)
	}
	return unread
}
