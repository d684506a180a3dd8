package portal

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// groupsView is the page of all redundancy groups.
type groupsView struct {
	Groups   []groupView
	Projects bool // they are of several projects
}

// groupView is a redundancy group with what its members do now.
type groupView struct {
	desk.Group
	Members []memberView
	Busy    int // members that are being updated
	MayEdit bool
}

// memberView is one member of a group.
type memberView struct {
	Target fleet.Target
	Canary bool
	Down   string // why it is down for reasons that are not a run's, in English; empty: it is up
	Server desk.Server
	Waits  []string // for whom or what its open runs wait
	Zone   *time.Location
}

func groupPath(project, name string) string {
	return "/groups/" + url.PathEscape(project) + "/" + url.PathEscape(name)
}

func (p *Portal) groups(v *visit) error {
	projects, servers, err := p.projects(v)
	if err != nil {
		return err
	}
	view := groupsView{Projects: len(projects) > 1}
	for _, project := range projects {
		groups, err := p.cfg.Desk.Groups(v.r.Context(), v.caller, project)
		if err != nil {
			return err
		}
		for _, g := range groups {
			view.Groups = append(view.Groups, v.viewGroup(g, servers))
		}
	}
	return v.paint(http.StatusOK, groupsPage(v, view))
}

// projects are those that the caller may see something of, with all servers by
// their ids.
func (p *Portal) projects(v *visit) (names []string, servers map[string]desk.Server, err error) {
	all, err := p.cfg.Desk.Overview(v.r.Context(), v.caller, "")
	if err != nil {
		return nil, nil, err
	}
	names, servers = []string{desk.DefaultProject}, make(map[string]desk.Server, len(all))
	if v.caller.Project != "" {
		names = []string{v.caller.Project}
	}
	for _, s := range all {
		servers[s.Target.ID] = s
		if !slices.Contains(names, s.Target.Project) {
			names = append(names, s.Target.Project)
		}
	}
	slices.Sort(names)
	return names, servers, nil
}

// viewGroup says what a group's members do, and who of them waits for whom.
func (v *visit) viewGroup(g desk.Group, servers map[string]desk.Server) groupView {
	view := groupView{Group: g, MayEdit: v.caller.May(identity.Write, g.Rules.Project) == nil}
	for _, t := range g.Members {
		s := servers[t.ID]
		m := memberView{
			Target: t, Canary: slices.Contains(g.Rules.Canaries, t.Name), Server: s, Zone: pageZone(s), Down: t.Down(s.Agent.LastSeen, v.now, fleet.SilentAfter),
		}
		for _, r := range byConcern(s.Open) {
			if why := v.follow(r, nil).Reason; why != "" && !isWorking(r) && !slices.Contains(m.Waits, why) {
				m.Waits = append(m.Waits, why)
			}
		}
		if slices.ContainsFunc(s.Open, isWorking) {
			view.Busy++
		}
		view.Members = append(view.Members, m)
	}
	return view
}

// groupForm is the form of a group's rules, as it was written.
type groupForm struct {
	Name           string
	MaxUnavailable string
	Ticked         []string // members that go first
	Others         string   // names of canaries that are no members yet
	Soak           string   // hours
	StopAfter      string
	Restart        bool       // its nodes may restart themselves
	Window         windowForm // and when
	Error          *formError
}

// ruleFields are the fields that stand for the desk's names of them.
var ruleFields = map[string]string{
	"name": "name", "maxUnavailable": "maxunavailable", "canaries": "canaries", "soak": "soak", "stopAfter": "stopafter", "project": "project",
}

func (p *Portal) group(v *visit) error {
	g, err := p.findGroup(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, groupPage(v, g, v.formOf(g.Group)))
}

// findGroup is the group that the address names.
func (p *Portal) findGroup(v *visit) (view groupView, err error) {
	project, name := v.r.PathValue("project"), v.r.PathValue("name")
	g, err := p.cfg.Desk.Group(v.r.Context(), v.caller, project, name)
	if err != nil {
		return view, err
	}
	servers := map[string]desk.Server{}
	for _, t := range g.Members {
		if servers[t.ID], err = p.cfg.Desk.Server(v.r.Context(), v.caller, project, t.ID); err != nil {
			return view, err
		}
	}
	return v.viewGroup(g, servers), nil
}

// formOf shows a group's rules.
func (v *visit) formOf(g desk.Group) groupForm {
	f := groupForm{Name: g.Rules.Name, MaxUnavailable: strconv.Itoa(g.Rules.Room()), Window: newWindow("", cmp.Or(v.reader, time.UTC), v.now)}
	if w := g.Rules.Window; !w.Recurrence.IsZero() {
		f.Restart, f.Window = true, windowOf("", w, v.now)
	}
	if g.Rules.StopAfter > 0 {
		f.StopAfter = strconv.Itoa(g.Rules.StopAfter)
	}
	if g.Rules.Soak > 0 {
		f.Soak = hoursText(g.Rules.Soak)
	}
	var others []string
	for _, name := range g.Rules.Canaries {
		if slices.ContainsFunc(g.Members, func(t fleet.Target) bool { return t.Name == name }) {
			f.Ticked = append(f.Ticked, name)
		} else {
			others = append(others, name)
		}
	}
	f.Others = strings.Join(others, " ")
	return f
}

// spec is what the form asks for of the group that was g.
func (f groupForm) spec(v *visit, g fleet.Group) (s desk.GroupSpec, wrong *formError) {
	s = desk.GroupSpec{Project: g.Project, Name: f.Name, Canaries: slices.Concat(f.Ticked, listed(f.Others))}
	var err error
	if s.MaxUnavailable, err = strconv.Atoi(f.MaxUnavailable); err != nil || s.MaxUnavailable < 1 {
		return s, v.wrong("maxunavailable", v.T("wrong.members"))
	}
	if f.StopAfter != "" {
		if s.StopAfter, err = strconv.Atoi(f.StopAfter); err != nil {
			return s, v.wrong("stopafter", v.T("wrong.failures"))
		}
	}
	if f.Soak != "" {
		var ok bool
		if s.Soak, ok = parseHours(f.Soak); !ok {
			return s, v.wrong("soak", v.T("wrong.soak"))
		}
	}
	if !f.Restart {
		return s, nil
	}
	was := ""
	if !g.Window.Recurrence.IsZero() {
		was = g.Window.Recurrence.String()
	}
	if s.RRule, wrong = f.Window.text(v, was); wrong != nil {
		return s, wrong
	}
	s.Duration, wrong = f.Window.length(v)
	return s, wrong
}

// fieldOf is the field that stands for the desk's name of it.
func (f groupForm) fieldOf(name string) string {
	if name == "rrule" || name == "duration" {
		return f.Window.fieldOf(name)
	}
	return ruleFields[name]
}

func (p *Portal) saveGroup(v *visit) error {
	g, err := p.findGroup(v)
	if err != nil {
		return err
	}
	if err := v.caller.May(identity.Write, g.Rules.Project); err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	form := groupForm{
		Name: g.Rules.Name, MaxUnavailable: v.field("maxunavailable"), Ticked: v.several("canaries"), Others: v.field("canaries-others"),
		Soak: v.field("soak"), StopAfter: v.field("stopafter"), Restart: v.field("restart") != "", Window: v.readWindow(""),
	}
	spec, wrong := form.spec(v, g.Rules)
	if wrong != nil {
		form.Error = wrong
		return v.paint(http.StatusUnprocessableEntity, groupPage(v, g, form))
	}
	_, _, err = p.cfg.Desk.PutGroup(v.r.Context(), v.caller, spec)
	if form.Error = v.mistake(err); form.Error != nil {
		form.Error.Field = form.fieldOf(form.Error.Field)
		form.Error.Label = v.label(form.Error.Field)
		return v.paint(statusOf(fault.KindOf(err)), groupPage(v, g, form))
	}
	if err != nil {
		return err
	}
	return v.goTo(groupPath(g.Rules.Project, g.Rules.Name) + "?done=changed")
}
