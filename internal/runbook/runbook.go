// Package runbook says how the members of a service are maintained, as data:
// what is proved before a member is taken out, how it is taken out, what is
// done to it, when it is ready, how it is put back. It does nothing; plan makes
// a plan of it. Values are text with places for names in double braces, such as
// {{member.url}}; they are put in when the plan is made, and no shell sees them.
package runbook

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
)

// Book is one runbook.
type Book struct {
	Name        string
	Title       string
	Description string
	Params      []Param

	Targets        Targets
	Order          Order
	Claims         []string      // what a run of it claims besides its service, such as loadbalancer/internal
	MaxUnavailable int           // members out at once; 0 means 1
	Batches        []int         // how many members are in the first batch, the second, …; the last one repeats; nil: all are in one
	Pause          time.Duration // how long nothing is begun between two batches
	Budget         time.Duration // what one member may take from its first step to its last; 0: no limit, for those that drain nobody and those of former versions
	ErrorBudget    ErrorBudget   // what the run may cost the service's users
	Prove          []Check       // what must hold, fresh, before each member is taken out

	Before []Step // once, before the first member
	Member Member
	After  []Step // once, after the last member
}

// Stored is a runbook as it is kept.
type Stored struct {
	Project  string
	Book     Book // its name is unique in the project
	Changed  time.Time
	Revision int64
}

// Member is what is done with each member, phase by phase.
type Member struct {
	Drain []Step // takes it out; it is put back if the rest can't begin
	Do    []Step
	Await []Step // proves that it is ready, by what it answers and not by an open port
	Ready []Step // puts it back; not done for a member that is not ready
}

// Step is one thing to do.
type Step struct {
	Name     string
	Kind     action.Kind
	On       On
	Command  string            // for commands: a name in the host's own list
	With     map[string]string // values, with places for names; of a command those that the host's owner has declared
	Estimate time.Duration     // 0: a careful guess
	Timeout  time.Duration     // 0: four times the estimate, and a minute more than Patience at least
	Attempts int               // 0: 1 for command and backup, 60 for the others, two seconds apart
	NoReturn bool              // nothing leads back from here: a person approves it, knowing that
	Rollback Rollback          // how it can be taken back
	Approval bool              // a person approves it before it begins
	Soak     time.Duration     // how long nothing is done before it begins
}

// Rollback is how a step can be taken back. It is told to people, and does
// nothing by itself.
type Rollback string

// The ways back.
const (
	Unsaid      Rollback = ""             // forward-only with NoReturn; of a drain reverse, for what follows puts the member back; else none
	NoRollback  Rollback = "none"         // there is nothing to take back
	Reverse     Rollback = "reverse"      // its opposite takes it back
	Restore     Rollback = "restore"      // from a copy made before
	ForwardOnly Rollback = "forward-only" // only repair leads on
)

// On is where a step is done.
type On string

// The places of steps.
const (
	Here    On = ""        // by the control plane itself, for the member if there is one
	Self    On = "member"  // on the member's host
	First   On = "first"   // for the first member that is maintained, where there is no member otherwise
	Last    On = "last"    // for the last one
	Manager On = "manager" // on the host that the service names for what is about all of it
	Others  On = "others"  // for each other member, by the control plane; checks only
	All     On = "all"     // for each member
	Proxies On = "proxies" // for each of the service's proxies, by the control plane
)

// Check is a step that changes nothing and says whether something holds.
type Check struct {
	Step
	Fresh  time.Duration // how old its answer may be when it is relied on; 0: 10 s
	Settle time.Duration // how long after the last change it begins to tell: before, it may still say what was
}

// DefaultFresh is how old a proof may be.
const DefaultFresh = 10 * time.Second

// Param is a value that a run is given.
type Param struct {
	Name        string
	Description string
	Type        action.Type
	Default     string
	Required    bool
	Enum        []string
	Pattern     string // for strings: what the whole value must match
}

// Limits of a runbook.
const (
	MaxSteps  = 64 // in one phase
	MaxParams = 32
	MaxValues = 32 // of one step
	MaxSoak   = 60 * 24 * time.Hour
	maxFresh  = 24 * time.Hour
	maxTime   = 24 * time.Hour // of a step
	maxText   = 4096
)

var (
	bookName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	stepName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,31}[a-z0-9])?$`)
	headerName = regexp.MustCompile(`^header\.[A-Za-z0-9-]{1,64}$`)
	keyName    = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,31}$`)
	command    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)  // as the agent knows them
	valueName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,31}$`) // as the agent knows them
)

// values are the names that a kind of step knows in its With: those that it
// needs, and those that it may have. A test holds them to the hands.
type values struct{ needs, may []string }

// kinds are what a step may be.
var kinds = map[action.Kind]values{
	action.Command: {}, action.Check: {}, action.Backup: {},
	action.Unit:      {needs: []string{"unit", "state"}},
	action.Container: {needs: []string{"container", "do"}, may: []string{"wait"}},
	action.Playbook:  {needs: []string{"playbook"}, may: []string{"limit"}},
	action.Balance:   {needs: []string{"proxy", "backend", "server", "state"}, may: []string{"sessions", "wait", "min"}},
	action.Serving:   {needs: []string{"proxy", "backend", "server"}, may: []string{"min"}},
	action.HTTP:      {needs: []string{"url"}, may: []string{"status", "contains", "times", "every", "timeout", "wait", "ca"}},
	action.Query:     {needs: []string{"url", "query", "op", "value"}, may: []string{"baseline", "timeout", "ca"}},
}

// choices are the values that can only be one of a few words.
var choices = map[action.Kind]map[string][]string{
	action.Unit:      {"state": {"restarted", "reloaded", "started", "stopped"}},
	action.Container: {"do": {"restart", "stop", "start"}},
}

// Knows reports whether a step of that kind can have a value of that name.
// What a command or a playbook takes is the host owner's to say.
func Knows(kind action.Kind, name string) bool {
	if kind.Names() || kind == action.Playbook {
		return true
	}
	k := kinds[kind]
	header := (kind == action.HTTP || kind == action.Query) && headerName.MatchString(name)
	return header || slices.Contains(k.needs, name) || slices.Contains(k.may, name)
}

// Lacks is the first value that a step of that kind needs and does not have;
// empty if it has all.
func Lacks(kind action.Kind, with map[string]string) string {
	for _, name := range kinds[kind].needs {
		if with[name] == "" {
			return name
		}
	}
	return ""
}

// Validate blames the first field that can't be, by its path in the document,
// such as "member.do[0].with.url". It is asked when a runbook is written, not
// when one is run: those that former versions took go on as they are.
func (b Book) Validate() error {
	if !bookName.MatchString(b.Name) {
		return fault.Invalid("name", "%q is no name: 1 to 63 small letters, digits and dashes", b.Name)
	}
	switch {
	case len(b.Title) > 200 || len(b.Description) > maxText:
		return fault.Invalid("description", "title and description may have 200 and %d bytes", maxText)
	case b.MaxUnavailable < 0:
		return fault.Invalid("maxUnavailable", "must be at least 1, not %d", b.MaxUnavailable)
	case b.Budget < 0 || b.Budget > maxTime:
		return fault.Invalid("budget", "must be from 0 to 24h, not %v", b.Budget)
	case len(b.Member.Do) == 0:
		return fault.Invalid("member.do", "is empty: the runbook does nothing")
	case len(b.Member.Await) == 0:
		return fault.Invalid("member.await", "is empty: nothing would prove that a member is ready before the next one is taken out")
	case len(b.Member.Drain) > 0 && len(b.Member.Ready) == 0:
		return fault.Invalid("member.ready", "is empty: what is drained is to be put back")
	case len(b.Member.Drain) > 0 && b.Budget == 0:
		return fault.Invalid("budget", "is needed with member.drain: it says how long a member may be out before the run halts and tells, such as 5m")
	}
	if err := b.validOrder(); err != nil {
		return err
	}
	if err := b.ErrorBudget.validate(); err != nil {
		return err
	}
	if err := fleet.ValidClaims("claims", b.Claims); err != nil {
		return err
	}
	if err := b.validParams(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, phase := range b.phases() {
		if len(phase.steps) > MaxSteps {
			return fault.Invalid(phase.field, "at most %d steps, not %d", MaxSteps, len(phase.steps))
		}
		for i, s := range phase.steps {
			if err := b.validStep(phase, i, s, seen); err != nil {
				return err
			}
		}
	}
	for i, c := range b.Prove {
		if err := c.validAge("prove[" + itoa(i) + "]"); err != nil {
			return err
		}
	}
	return b.validUse()
}

// validAge is about how old an answer may be.
func (c Check) validAge(field string) error {
	switch {
	case c.Fresh < 0 || c.Fresh > maxFresh:
		return fault.Invalid(field+".fresh", "must be from 0 to %v, not %v", maxFresh, c.Fresh)
	case c.Settle < 0 || c.Settle > maxFresh:
		return fault.Invalid(field+".settle", "must be from 0 to %v, not %v", maxFresh, c.Settle)
	}
	return nil
}

// validUse blames a parameter that no step uses: who gives it a value would
// believe that it means something.
func (b Book) validUse() error {
	used := map[string]bool{}
	for _, phase := range b.phases() {
		for _, s := range phase.steps {
			for _, value := range s.With {
				for _, m := range place.FindAllStringSubmatch(value, -1) {
					used[strings.TrimSpace(m[1])] = true
				}
			}
		}
	}
	for i, p := range b.Params {
		if !used["param."+p.Name] {
			return fault.Invalid("params["+itoa(i)+"]", "no step uses {{param.%s}}", p.Name)
		}
	}
	return nil
}

// phase is a list of steps with what may stand in it.
type phase struct {
	field  string
	steps  []Step
	once   bool // there is no member
	checks bool // nothing in it may change anything
	back   bool // it is done whatever forbids the rest, so nobody can hold it
	asked  bool // it is asked again and again until it holds, and never begun
}

func (b Book) phases() []phase {
	prove := make([]Step, len(b.Prove))
	for i, c := range b.Prove {
		prove[i] = c.Step
	}
	return []phase{
		{field: "prove", steps: prove, checks: true, asked: true},
		{field: "before", steps: b.Before, once: true},
		{field: "member.drain", steps: b.Member.Drain},
		{field: "member.do", steps: b.Member.Do},
		{field: "member.await", steps: b.Member.Await, checks: true, back: true},
		{field: "member.ready", steps: b.Member.Ready, back: true},
		{field: "after", steps: b.After, once: true},
	}
}

func (b Book) validParams() error {
	if len(b.Params) > MaxParams {
		return fault.Invalid("params", "at most %d, not %d", MaxParams, len(b.Params))
	}
	seen := map[string]bool{}
	for i, p := range b.Params {
		field := "params[" + itoa(i) + "]"
		switch {
		case !keyName.MatchString(p.Name):
			return fault.Invalid(field+".name", "%q is no name: a small letter, then up to 31 letters and digits", p.Name)
		case seen[p.Name]:
			return fault.Invalid(field+".name", "%q stands twice", p.Name)
		case p.Required && p.Default != "":
			return fault.Invalid(field+".default", "goes without required: a value that must be given needs no other")
		case len(p.Description) > maxText:
			return fault.Invalid(field+".description", "at most %d bytes, not %d", maxText, len(p.Description))
		}
		if part, why := p.rule().Wrong(); why != "" {
			return fault.Invalid(field+"."+part, "%s", why)
		}
		if p.Default != "" {
			if why := p.bad(p.Default); why != "" {
				return fault.Invalid(field+".default", "%s", why)
			}
		}
		seen[p.Name] = true
	}
	return nil
}

func (b Book) validStep(in phase, i int, s Step, seen map[string]bool) error {
	field := in.field + "[" + itoa(i) + "]"
	kind, known := kinds[s.Kind]
	switch {
	case !stepName.MatchString(s.Name):
		return fault.Invalid(field+".name", "%q is no name: 1 to 33 small letters, digits and dashes", s.Name)
	case seen[s.Name]:
		return fault.Invalid(field+".name", "%q stands twice in the runbook", s.Name)
	case !known:
		return fault.Invalid(field+".kind", "%q is no kind of step; there are command, check, backup, unit, container, playbook, balance, serving, http and query", s.Kind)
	case in.checks && s.Kind.Disrupts():
		return fault.Invalid(field+".kind", "%s changes something, and here only what looks may stand: check, serving, http, query", s.Kind)
	case s.Kind.Names() != (s.Command != ""):
		return fault.Invalid(field+".command", "goes with the kinds command, check and backup, and only with them")
	case s.Command != "" && !command.MatchString(s.Command):
		return fault.Invalid(field+".command", "%q is no command's name: 1 to 63 small letters, digits, dots, underscores and dashes, beginning with a letter or digit", s.Command)
	case len(s.With) > MaxValues:
		return fault.Invalid(field+".with", "at most %d values, not %d", MaxValues, len(s.With))
	case s.Estimate < 0 || s.Estimate > maxTime:
		return fault.Invalid(field+".estimate", "must be from 0 to 24h, not %v", s.Estimate)
	case s.Timeout < 0 || s.Timeout > maxTime || s.Timeout > 0 && s.Timeout < s.Estimate:
		return fault.Invalid(field+".timeout", "must be from the estimate %v to 24h, not %v", s.Estimate, s.Timeout)
	case s.Timeout > 0 && s.Timeout <= Patience(s.Kind, s.With):
		return fault.Invalid(field+".timeout", "must be longer than the step itself waits, %v (with.wait), not %v", Patience(s.Kind, s.With), s.Timeout)
	case s.Attempts < 0 || s.Attempts > 100:
		return fault.Invalid(field+".attempts", "must be from 1 to 100, not %d", s.Attempts)
	case s.Soak < 0 || s.Soak > MaxSoak:
		return fault.Invalid(field+".soak", "must be from 0 to %v, not %v", MaxSoak, s.Soak)
	}
	if err := validHold(field, in, s); err != nil {
		return err
	}
	if err := validRollback(field, s); err != nil {
		return err
	}
	if err := validPlace(field, in, s); err != nil {
		return err
	}
	if key := Lacks(s.Kind, s.With); key != "" {
		return fault.Invalid(field+".with."+key, "is needed by the kind %s", s.Kind)
	}
	for _, key := range slices.Sorted(maps.Keys(s.With)) {
		value := s.With[key]
		switch {
		case (s.Kind.Names() || s.Kind == action.Playbook) && !valueName.MatchString(key):
			return fault.Invalid(field+".with."+key, "%q is no value's name: a letter, then up to 31 letters, digits and underscores", key)
		case !Knows(s.Kind, key):
			return fault.Invalid(field+".with."+key, "is nothing that the kind %s knows; it knows %s", s.Kind, strings.Join(slices.Concat(kind.needs, kind.may), ", "))
		case len(value) > action.MaxValue:
			return fault.Invalid(field+".with."+key, "has %d bytes, %d may be", len(value), action.MaxValue)
		}
		if words := choices[s.Kind][key]; words != nil && !place.MatchString(value) && !slices.Contains(words, value) {
			return fault.Invalid(field+".with."+key, "must be one of %s, not %q", strings.Join(words, ", "), value)
		}
		if err := b.validPlaces(field+".with."+key, value, in.once && s.On != All && s.On != First && s.On != Last, s.On != Proxies); err != nil {
			return err
		}
	}
	seen[s.Name] = true
	return nil
}

// Patience is how long a step of the kind itself waits, by its value "wait": for
// a container to stop, for sessions to end, for a good answer. It is 0 if it does
// not wait, or if the value is not known yet.
func Patience(kind action.Kind, with map[string]string) time.Duration {
	if !slices.Contains(kinds[kind].may, "wait") {
		return 0 // such as a command, whose values mean what its owner says
	}
	d, err := time.ParseDuration(with["wait"])
	if err != nil {
		return 0 // none, a place to be filled, or one that whoever waits refuses
	}
	return d
}

// validRollback is about how a step can be taken back.
func validRollback(field string, s Step) error {
	switch {
	case !slices.Contains([]Rollback{Unsaid, NoRollback, Reverse, Restore, ForwardOnly}, s.Rollback):
		return fault.Invalid(field+".rollback", "must be none, reverse, restore or forward-only, not %q", s.Rollback)
	case s.Rollback == ForwardOnly && !s.NoReturn:
		return fault.Invalid(field+".noReturn", "goes with rollback: forward-only: a person approves that nothing leads back")
	case s.NoReturn && s.Rollback != ForwardOnly && s.Rollback != Unsaid:
		return fault.Invalid(field+".rollback", "is forward-only where nothing leads back (noReturn), not %q", s.Rollback)
	case s.Rollback != Unsaid && s.Rollback != NoRollback && !s.Kind.Disrupts():
		return fault.Invalid(field+".rollback", "means nothing here: a %s changes nothing", s.Kind)
	}
	return nil
}

// validHold is about what holds a step up, where nothing can.
func validHold(field string, in phase, s Step) error {
	const proof, back = "means nothing in a proof: it is asked again until it holds", "means nothing here: a member is brought back whatever forbids the rest"
	why := back
	switch {
	case in.asked && s.Attempts > 0:
		return fault.Invalid(field+".attempts", proof)
	case in.asked:
		why = proof
	case !in.back:
		return nil
	}
	switch {
	case s.Approval:
		return fault.Invalid(field+".approval", "%s", why)
	case s.NoReturn:
		return fault.Invalid(field+".noReturn", "%s", why)
	case s.Soak > 0:
		return fault.Invalid(field+".soak", "%s", why)
	}
	return nil
}

// validPlace is about where a step is done.
func validPlace(field string, in phase, s Step) error {
	onHost := s.Kind.OnHost()
	switch {
	case !slices.Contains([]On{Here, Self, First, Last, Manager, Others, All, Proxies}, s.On):
		return fault.Invalid(field+".on", "must be member, first, last, manager, others, all, proxies or left out, not %q", s.On)
	case onHost && (s.On == Here || s.On == Proxies):
		return fault.Invalid(field+".on", "a %s runs on a host: say member, first, last, manager, others or all", s.Kind)
	case !onHost && (s.On == Self || s.On == Manager):
		return fault.Invalid(field+".on", "a %s is done by the control plane and not on a host: leave it out, or say first, last, others, all or proxies", s.Kind)
	case in.once && (s.On == Self || s.On == Others):
		return fault.Invalid(field+".on", "there is no member here: say first, last, manager, all, proxies, or leave it out")
	case !in.once && (s.On == First || s.On == Last):
		return fault.Invalid(field+".on", "is for what is done once, in before and after: here each member has its own turn")
	case !in.once && (s.On == Others || s.On == All) && s.Kind.Disrupts():
		return fault.Invalid(field+".on", "the others are only looked at while a member is out")
	}
	return nil
}

var place = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

// validPlaces blames a place that no name can fill.
func (b Book) validPlaces(field, value string, noMember, noProxy bool) error {
	for _, m := range place.FindAllStringSubmatch(value, -1) {
		scope, key, _ := strings.Cut(strings.TrimSpace(m[1]), ".")
		switch {
		case !keyName.MatchString(key):
			return fault.Invalid(field, "%q: write {{member.KEY}}, {{proxy.KEY}}, {{service.KEY}} or {{param.KEY}}", m[0])
		case scope == "param" && !slices.ContainsFunc(b.Params, func(p Param) bool { return p.Name == key }):
			return fault.Invalid(field, "%q: there is no parameter of that name", m[0])
		case scope == "member" && noMember:
			return fault.Invalid(field, "%q: there is no member here", m[0])
		case scope == "proxy" && noProxy:
			return fault.Invalid(field, "%q: there is no proxy here: say on: proxies", m[0])
		case !slices.Contains([]string{"param", "member", "proxy", "service"}, scope):
			return fault.Invalid(field, "%q: write {{member.KEY}}, {{proxy.KEY}}, {{service.KEY}} or {{param.KEY}}", m[0])
		}
	}
	if rest := place.ReplaceAllString(value, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		return fault.Invalid(field, "has braces that do not match")
	}
	return nil
}
