package stackit

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/run"
)

// updateBody is a run. What stands below failReason is more than STACKIT tells.
type updateBody struct {
	ID               int64  `json:"id"`
	Status           string `json:"status"`
	StartDate        string `json:"startDate"`
	EndDate          string `json:"endDate,omitempty"`
	InstalledUpdates int    `json:"installedUpdates"`
	FailedUpdates    int    `json:"failedUpdates"`
	FailReason       string `json:"failReason,omitempty"`

	Result     string        `json:"result,omitempty"` // a sentence, once it has ended
	Reboots    int           `json:"reboots"`
	ScheduleID int64         `json:"scheduleId,omitempty"` // whose window it is for, as long as that exists
	By         string        `json:"by"`
	Waits      []string      `json:"waits,omitempty"`
	Packages   []packageBody `json:"packages,omitempty"` // of one update; a list leaves them out
	RunID      string        `json:"runId"`              // its id at the native door
}

// packageBody is a package that has another version now, or failed to.
type packageBody struct {
	Name    string `json:"name"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Failure string `json:"failure,omitempty"`
}

// The names of an update's states; doc.go says what they mean.
const (
	running    = "running"
	successful = "Successful"
	failed     = "Failed"
	aborted    = "Aborted"
)

// backupCommand is the name of the command with which a host makes a copy of
// itself, if its owner has given it one.
const backupCommand = "backup"

// alreadyRunning is the sentence that clients know a second update by.
const alreadyRunning = "Update already running"

func (d *door) createUpdate(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	o, err := objectOf(c.body, true)
	if err != nil {
		return 0, nil, err
	}
	hours, err := o.hours()
	if err != nil {
		return 0, nil, err
	}
	p, err := d.defaultPolicy(ctx, c, s.Target.Project)
	if err != nil {
		return 0, nil, err
	}
	p.Within = 0 // who asks for it now means now
	if o.has("backupBeforeUpdate") {
		backup, err := o.truth("backupBeforeUpdate")
		if err != nil {
			return 0, nil, err
		}
		if backup {
			p.Backup = backupCommand
		}
		if err := canBackUp(s, backup); err != nil {
			return 0, nil, err
		}
	}
	r, err := d.desk.StartRun(ctx, c.who, desk.RunSpec{
		Project: s.Target.Project, Server: s.Target.ID, Duration: time.Duration(hours) * time.Hour, Policy: p,
	})
	if fault.Is(err, fault.KindConflict) {
		return 0, nil, d.whyNot(ctx, c, err)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, updateOf(r, s), nil
}

// canBackUp refuses a backup that the host has no command for.
func canBackUp(s desk.Server, wanted bool) error {
	obs := s.Target.Observed
	if !wanted || obs != nil && slices.Contains(obs.Commands, backupCommand) {
		return nil
	}
	return refusal{status: http.StatusConflict, field: "backupBeforeUpdate", reason: fmt.Sprintf(
		"server %s has no command named %q: give it one in its agent's file (commands: {%s: [PROGRAM]}), or leave this field out", s.Target.Name, backupCommand, backupCommand)}
}

// whyNot puts the desk's conflict into the words that clients of this door know.
func (d *door) whyNot(ctx context.Context, c *call, err error) error {
	s, again := d.server(ctx, c)
	if again != nil {
		return err
	}
	for _, r := range s.Open {
		if r.Schedule == "" || r.State == run.Working {
			return refusal{
				status: http.StatusConflict, message: alreadyRunning,
				reason: fmt.Sprintf("update %d of server %s has not ended yet", r.Number, s.Target.Name),
			}
		}
	}
	return unmanaged(s, err)
}

func (d *door) listUpdates(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	all, err := d.desk.Runs(ctx, c.who, desk.RunFilter{Project: s.Target.Project, Server: s.Target.ID})
	if err != nil {
		return 0, nil, err
	}
	var items []updateBody
	for _, r := range all {
		items = append(items, updateOf(r, s))
	}
	return http.StatusOK, listOf(items), nil
}

func (d *door) getUpdate(ctx context.Context, c *call) (int, any, error) {
	const field = "updateId"
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	n, err := c.numberOf(field)
	if err != nil {
		return 0, nil, err
	}
	found, err := d.desk.Runs(ctx, c.who, desk.RunFilter{Project: s.Target.Project, Server: s.Target.ID, Number: n, Limit: 1})
	if err != nil {
		return 0, nil, err
	}
	if len(found) == 0 {
		return 0, nil, missing(field, "server %s has no update %d", s.Target.Name, n)
	}
	b := updateOf(found[0], s)
	b.Packages = packagesOf(found[0])
	return http.StatusOK, b, nil
}

func updateOf(r run.Run, s desk.Server) updateBody {
	b := updateBody{
		ID: r.Number, Status: running, StartDate: stamp(r.Created), EndDate: stamp(r.Finished),
		InstalledUpdates: r.Installed(), Result: r.Result.Text, Reboots: r.Result.Reboots, By: r.By, RunID: r.ID,
	}
	if !r.Started.IsZero() {
		b.StartDate = stamp(r.Started)
	}
	for _, f := range r.Result.Failures {
		if f.Name != "" {
			b.FailedUpdates++
		}
	}
	for _, one := range s.Schedules {
		if one.ID == r.Schedule {
			b.ScheduleID = one.Number
		}
	}
	switch r.State {
	case run.Waiting, run.Working, run.Paused:
		for _, w := range r.Waits {
			b.Waits = append(b.Waits, w.Reason.Words("en", desk.Zone(r)))
		}
		b.Waits = slices.Compact(b.Waits)
	case run.Succeeded:
		b.Status = successful
	case run.Failed:
		b.Status, b.FailReason = failed, whyFailed(r)
	case run.Aborted:
		b.Status, b.FailReason = aborted, r.Result.Text
	}
	return b
}

// whyFailed says what failed, and why.
func whyFailed(r run.Run) string {
	parts := []string{r.Result.Text}
	for _, f := range r.Result.Failures {
		if f.Name != "" {
			parts = append(parts, f.Name+": "+f.Reason)
		}
	}
	return strings.Join(parts, "; ")
}

func packagesOf(r run.Run) (all []packageBody) {
	for _, ch := range r.Result.Changes {
		all = append(all, packageBody{Name: ch.Name, From: ch.From, To: ch.To})
	}
	for _, f := range r.Result.Failures {
		if f.Name != "" {
			all = append(all, packageBody{Name: f.Name, Failure: f.Reason})
		}
	}
	return all
}
