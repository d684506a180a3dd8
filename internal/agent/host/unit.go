package host

import (
	"context"
	"strings"
)

const (
	pointer  = "journalctl -xe" // where systemctl sends people whose unit did not start
	unitSays = "2"              // lines of a unit's log in the reason of its failure
)

// unitLog is what a unit has said in its last attempt to start, if systemctl
// has only said that there is something to be read. Empty if there is nothing.
func (h *Hands) unitLog(ctx context.Context, unit, said string) string {
	if !strings.Contains(said, pointer) {
		return ""
	}
	id, err := h.machine.Run(ctx, "systemctl", "show", "--value", "--property=InvocationID", "--", unit)
	if id = strings.TrimSpace(id); err != nil || id == "" {
		return ""
	}
	// What was printed just now need not be in the journal yet.
	if _, err := h.machine.Run(ctx, "journalctl", "--sync"); err != nil {
		return ""
	}
	log, err := h.machine.Run(ctx, "journalctl", "--quiet", "--no-pager", "--output=cat", "--lines="+unitSays, "_SYSTEMD_INVOCATION_ID="+id)
	if err != nil {
		return ""
	}
	return log
}

// unitFailed is what systemctl, and the unit itself, have said of a failure,
// without where there is more to be read.
func unitFailed(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		if !strings.Contains(line, pointer) || !strings.HasPrefix(line, "See ") {
			said = append(said, line)
		}
	}
	return lastLines(strings.Join(said, ""))
}
