package stackit

import (
	"context"
	"net/http"
	"time"

	"upkeep/internal/fleet"
)

// policyBody is one of our templates, as STACKIT's update policy.
type policyBody struct {
	ID                string `json:"id"`
	Name              string `json:"name"`
	Description       string `json:"description"`
	Default           bool   `json:"default"`
	Enabled           bool   `json:"enabled"`
	RRule             string `json:"rrule"`
	MaintenanceWindow int    `json:"maintenanceWindow"`
	WindowText        string `json:"windowText"`
}

func (d *door) listPolicies(ctx context.Context, c *call) (int, any, error) {
	all, err := d.desk.Templates(ctx, c.who, c.values["projectId"])
	if err != nil {
		return 0, nil, err
	}
	var items []policyBody
	for _, t := range all {
		text := windowText(t.Window, time.Now())
		if t.Spread {
			text = "once a weekend (" + t.Window.Recurrence.Zone().String() + "), at a start of its own for each server; for example " + text
		}
		items = append(items, policyBody{
			ID: t.ID, Name: t.Name, Description: t.Description, Default: t.Default, Enabled: t.Enabled,
			RRule: t.Window.Recurrence.String(), MaintenanceWindow: wholeHours(t.Window.Duration), WindowText: text,
		})
	}
	return http.StatusOK, listOf(items), nil
}

// defaultPolicy is how updates are done that say nothing of it: as the
// project's default policy has it.
func (d *door) defaultPolicy(ctx context.Context, c *call, project string) (fleet.Policy, error) {
	all, err := d.desk.Templates(ctx, c.who, project)
	for _, t := range all {
		if t.Default {
			return t.Policy, err
		}
	}
	return fleet.Policy{}, err
}

// wholeHours is how many hours a window needs: one of 90 minutes, which only
// other doors can make, is told as 2.
func wholeHours(d time.Duration) int {
	return int((d + time.Hour - 1) / time.Hour)
}
