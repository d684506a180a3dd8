package cli

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"time"

	"upkeep/client"
)

// WindowDoc is when a window opens, and for how long. The YAML library embeds
// only what is exported.
type WindowDoc struct {
	RRule    string     `yaml:"rrule"`
	Weekly   *weeklyDoc `yaml:"weekly"`
	Duration string     `yaml:"duration"`
}

type weeklyDoc struct {
	DayOfTheWeek string `yaml:"dayOfTheWeek"`
	Time         string `yaml:"time"`
	Zone         string `yaml:"zone"`
}

// policyDoc is how an update is to be done.
type policyDoc struct {
	Scope        string            `yaml:"scope"`
	Hold         []string          `yaml:"hold"`
	Reboot       string            `yaml:"reboot"`
	RebootWindow *WindowDoc        `yaml:"rebootWindow"`
	Batch        int64             `yaml:"batch"`
	Prepare      string            `yaml:"prepare"`
	NoticeLead   string            `yaml:"noticeLead"`
	DryRun       bool              `yaml:"dryRun"`
	Within       string            `yaml:"within"`
	Backup       string            `yaml:"backup"`
	Before       []string          `yaml:"before"`
	After        []string          `yaml:"after"`
	Health       []string          `yaml:"health"`
	Expect       map[string]string `yaml:"expect"`
}

// updatePolicyDoc is what schedules are made from: kind Policy.
type updatePolicyDoc struct {
	Head        `yaml:",inline"`
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Default     bool   `yaml:"default"`
	Enabled     *bool  `yaml:"enabled"`
	Spread      bool   `yaml:"spread"`
	Zone        string `yaml:"zone"`
	WindowDoc   `yaml:",inline"`
	Missed      string     `yaml:"missed"`
	Policy      *policyDoc `yaml:"policy"`
}

// durations are the texts of a window that must be durations, by their fields.
func (w *WindowDoc) durations(all map[string]string, prefix string) {
	if w != nil {
		all[prefix+"duration"] = w.Duration
	}
}

func (p *policyDoc) durations(all map[string]string) {
	if p == nil {
		return
	}
	all["policy.prepare"], all["policy.noticeLead"], all["policy.within"] = p.Prepare, p.NoticeLead, p.Within
	for action, text := range p.Expect {
		all["policy.expect."+action] = text
	}
	p.RebootWindow.durations(all, "policy.rebootWindow.")
}

func (d *updatePolicyDoc) name() string { return "policy " + d.Name }

func (d *updatePolicyDoc) check() error {
	if err := needs("name", d.Name, "duration", d.Duration); err != nil {
		return err
	}
	if d.RRule == "" && d.Weekly == nil && !d.Spread {
		return missing("rrule")
	}
	lengths := map[string]string{}
	d.WindowDoc.durations(lengths, "")
	d.Policy.durations(lengths)
	return checkDurations(lengths)
}

func (w *WindowDoc) weekly() *client.Weekly {
	if w.Weekly == nil {
		return nil
	}
	return &client.Weekly{DayOfTheWeek: client.WeeklyDayOfTheWeek(w.Weekly.DayOfTheWeek), Time: w.Weekly.Time, Zone: w.Weekly.Zone}
}

func (p *policyDoc) input() *client.Policy {
	if p == nil {
		return nil
	}
	out := &client.Policy{
		Scope: client.PolicyScope(p.Scope), Hold: p.Hold, Reboot: client.PolicyReboot(p.Reboot), Batch: p.Batch,
		Prepare: p.Prepare, NoticeLead: p.NoticeLead, DryRun: p.DryRun, Within: p.Within,
		Backup: p.Backup, Before: p.Before, After: p.After, Health: p.Health, Expect: p.Expect,
	}
	if w := p.RebootWindow; w != nil {
		out.RebootWindow = &client.RebootWindow{RRule: w.RRule, Weekly: w.weekly(), Duration: w.Duration}
	}
	return out
}

func (d *updatePolicyDoc) input() client.UpdatePolicyInput {
	return client.UpdatePolicyInput{
		Description: d.Description, Default: d.Default, Enabled: d.Enabled, Spread: d.Spread, Zone: d.Zone,
		RRule: d.RRule, Weekly: d.weekly(), Duration: d.Duration, Missed: client.Missed(d.Missed), Policy: d.Policy.input(),
	}
}

// is reports whether a policy is as the document says; what it leaves out is as
// usual.
func (p *policyDoc) is(have client.Policy) bool {
	if p == nil {
		p = &policyDoc{}
	}
	batch := p.Batch
	if batch == 0 {
		batch = 25
	}
	if len(p.Expect) != len(have.Expect) {
		return false
	}
	for action, text := range p.Expect {
		if !sameLength(text, have.Expect[action]) {
			return false
		}
	}
	return first(p.Scope, "all") == string(have.Scope) && first(p.Reboot, "if-required") == string(have.Reboot) &&
		batch == have.Batch && slices.Equal(p.Hold, have.Hold) && p.RebootWindow.is(have.RebootWindow) &&
		sameLength(p.Prepare, have.Prepare) && sameLength(p.NoticeLead, have.NoticeLead) && sameLength(p.Within, have.Within) &&
		p.DryRun == have.DryRun && p.Backup == have.Backup && slices.Equal(p.Before, have.Before) &&
		slices.Equal(p.After, have.After) && slices.Equal(p.Health, have.Health)
}

func (w *WindowDoc) is(have *client.RebootWindow) bool {
	if w == nil || have == nil {
		return w == nil && have == nil
	}
	return w.RRule == have.RRule && sameLength(w.Duration, have.Duration)
}

func (d *updatePolicyDoc) is(have client.UpdatePolicy) bool {
	when := d.RRule == have.RRule
	if d.Spread {
		when = d.Zone == have.Zone
	}
	return when && d.Description == have.Description && d.Default == have.Default && isOn(d.Enabled) == have.Enabled &&
		d.Spread == have.Spread && sameLength(d.Duration, have.Duration) && first(d.Missed, "late") == string(have.Missed) && d.Policy.is(have.Policy)
}

// isOn is what "enabled" says; left out it is true.
func isOn(enabled *bool) bool { return enabled == nil || *enabled }

func (d *updatePolicyDoc) windows() []spot { return spots(&d.WindowDoc, d.Policy) }

func (d *updatePolicyDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	whose := s.projectOf(d)
	all, err := s.policies(ctx, whose)
	if err != nil {
		return "", err
	}
	// Whoever names no project means the token's own, which may be every one.
	if whose == "" {
		me, err := ask(ctx, func(ctx context.Context) (*client.Whoami, error) { return s.Whoami(ctx) })
		if err != nil {
			return "", err
		}
		whose = me.Project
	}
	for _, have := range all.Items {
		switch {
		case have.BuiltIn || have.Name != d.Name || have.Project != whose:
		case d.is(have):
			return unchanged, nil
		default:
			return changed, nil
		}
	}
	return created, nil
}

func (d *updatePolicyDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.UpdatePolicy, error) {
		return s.PutUpdatePolicy(ctx, d.Name, d.input(), &client.PutUpdatePolicyParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
}

func (s *session) policies(ctx context.Context, project string) (*client.UpdatePolicyList, error) {
	return ask(ctx, func(ctx context.Context) (*client.UpdatePolicyList, error) {
		return s.ListUpdatePolicies(ctx, &client.ListUpdatePoliciesParams{Project: project})
	})
}

// sameLength reports whether two durations are, however they are written.
func sameLength(a, b string) bool {
	x, okX := parseLength(a)
	y, okY := parseLength(b)
	return okX && okY && x == y
}

var leadingDays = regexp.MustCompile(`^([0-9]{1,4})d(.*)$`)

// parseLength reads a duration as the API does: it may begin with days. An
// empty text is none.
func parseLength(text string) (time.Duration, bool) {
	days := time.Duration(0)
	if m := leadingDays.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // of digits alone, and few
		days, text = time.Duration(n)*24*time.Hour, m[2]
	}
	if text == "" {
		return days, true
	}
	d, err := time.ParseDuration(text)
	return days + d, err == nil
}
