package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"upkeep/internal/action"
)

const (
	pointer  = "journalctl -xe" // where systemctl sends people whose unit did not start
	unitSays = 2                // lines of a unit's log in the reason of its failure
	unitRead = 50               // lines that are looked at for them
)

// unitLog is what a unit has said since an order was begun, if systemctl has
// only said that there is something to be read. Empty if there is nothing.
func (h *Hands) unitLog(ctx context.Context, o action.Order, said string) string {
	begun, err := os.Stat(filepath.Join(h.dir(o.Key()), "lock")) // made when it was begun, and never written
	if err != nil || !strings.Contains(said, pointer) {
		return ""
	}
	// What was printed just now need not be in the journal yet.
	if _, err := h.machine.Run(ctx, "journalctl", "--sync"); err != nil {
		return ""
	}
	// Of a process that has ended at once the journal may not know whose it
	// was; but what is about the unit, it knows.
	unit := o.With["unit"]
	log, err := h.machine.Run(ctx, "journalctl", "--quiet", "--no-pager", "--output=json", fmt.Sprintf("--lines=%d", unitRead),
		fmt.Sprintf("--since=@%d", begun.ModTime().Unix()), "_SYSTEMD_UNIT="+unit, "+", "UNIT="+unit)
	if err != nil {
		return ""
	}
	return unitSaid(log)
}

// unitSaid are the last lines that a unit itself has written to the journal,
// or if there are none, how its processes ended.
func unitSaid(log string) string {
	var its, about []string
	for line := range strings.Lines(log) {
		var entry struct {
			Message string `json:"MESSAGE"`
			PID     string `json:"_PID"`
		}
		switch err := json.Unmarshal([]byte(line), &entry); {
		case err != nil: // a message that is no text
		case entry.PID == "1" && strings.Contains(entry.Message, " exited, code="):
			about = append(about, entry.Message)
		case entry.PID == "1": // the others tell no more than systemctl has said
		default:
			its = append(its, entry.Message)
		}
	}
	if len(its) == 0 {
		its = about
	}
	return strings.Join(its[max(0, len(its)-unitSays):], "\n")
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
