package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal of a size: what is written to tty can be
// read from screen.
func openTerminal(t *testing.T, columns, lines uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	return screen, tty
}

// TestWatchOnATerminal watches a real run on a real terminal: there is a bar
// while it runs, and what stays is what happened.
func TestWatchOnATerminal(t *testing.T) {
	p, upkeep := lab(t)
	enrolled(t, p, upkeep, "web-1", "kernel")
	screen, tty := openTerminal(t, 100, 30)
	read := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when the other end is closed
		read <- string(b)
	}()
	a := p.app(tty, io.Discard)
	a.term = terminalOf(tty, func(string) string { return "" })
	if !a.term.is || !a.term.colour {
		t.Fatalf("no terminal was seen: %+v", a.term)
	}
	if columns, lines := a.term.size(); columns != 100 || lines != 30 {
		t.Errorf("size %d × %d, want 100 × 30", columns, lines)
	}
	code := a.main(t.Context(), []string{"run", "web-1", "--watch"})
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	written := strings.ReplaceAll(<-read, "\r\n", "\n")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(written, "█") || !strings.Contains(written, "finding out what is to be done") {
		t.Errorf("no bar was drawn:\n%q", written)
	}
	if !strings.Contains(written, "\x1b[34m▶ working\x1b[0m") {
		t.Errorf("no colours:\n%q", written)
	}
	end := play(written)
	if strings.Contains(end, "█") || !strings.Contains(end, "curl 8.1 → 8.2") || !strings.Contains(end, "\x1b[32m✓ succeeded\x1b[0m after") {
		t.Errorf("what stays:\n%s", end)
	}
}

func TestTerminals(t *testing.T) {
	_, tty := openTerminal(t, 80, 24)
	defer tty.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		name       string
		out        io.Writer
		env        map[string]string
		is, colour bool
	}{
		{"terminal", tty, nil, true, true},
		{"NO_COLOR", tty, map[string]string{"NO_COLOR": "1"}, true, false},
		{"dumb", tty, map[string]string{"TERM": "dumb"}, false, false},
		{"file", file, nil, false, false},
		{"buffer", io.Discard, nil, false, false},
	} {
		got := terminalOf(c.out, func(n string) string { return c.env[n] })
		if got.is != c.is || got.colour != c.colour {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
