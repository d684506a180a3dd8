package demo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = 30 * time.Second // for a process to say where it listens
	stopTime  = 10 * time.Second // for a replica to end when it is asked to
)

// part is one process of the service.
type part struct {
	cmd     *exec.Cmd
	line    io.Closer     // its standard input: it ends when that does
	ended   chan struct{} // closed when it has
	address string        // where it listens
}

// startPart starts one, and waits until it says where it listens.
func startPart(program string, args ...string) (*part, error) {
	//nolint:noctx // stop and kill end it, and so does the end of its standard input
	cmd := exec.Command(program, append([]string{"demo"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which ends its processes in order
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	line, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &part{cmd: cmd, line: line, ended: make(chan struct{})}
	late := time.AfterFunc(startTime, func() { _ = cmd.Process.Kill() })
	said, err := bufio.NewReader(out).ReadString('\n')
	late.Stop()
	go func() {
		_ = cmd.Wait() // how it ended is nobody's question: it was told to
		close(p.ended)
	}()
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("the demo's %s did not say where it listens (%w): %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	p.address = strings.TrimSpace(said)
	return p, nil
}

// stop asks it to end, as one asks a server that may finish what it does.
func (p *part) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
	select {
	case <-p.ended:
	case <-time.After(stopTime):
	}
	p.kill()
}

func (p *part) kill() {
	_ = p.cmd.Process.Kill() // an error says that it has ended
	p.line.Close()
	<-p.ended
}
