package cli

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"upkeep/client"
)

// The documents that apply reads. topics.go and docs/cli.md tell their fields.

type serverDoc struct {
	Kind    string            `yaml:"kind"`
	Project string            `yaml:"project"`
	Name    string            `yaml:"name"`
	Group   string            `yaml:"group"`
	Labels  map[string]string `yaml:"labels"`
	Image   string            `yaml:"image"`
}

type imageDoc struct {
	Kind       string `yaml:"kind"`
	Project    string `yaml:"project"`
	Channel    string `yaml:"channel"`
	Version    string `yaml:"version"`
	Arch       string `yaml:"arch"`
	Active     bool   `yaml:"active"`
	Name       string `yaml:"name"`
	Distro     string `yaml:"distro"`
	OSVersion  string `yaml:"osVersion"`
	DiskFormat string `yaml:"diskFormat"`
	MinDiskGB  int64  `yaml:"minDiskGB"`
	MinRAMMB   int64  `yaml:"minRAMMB"`
	Checksum   string `yaml:"checksum"`
	Source     string `yaml:"source"`
	Notes      string `yaml:"notes"`
}

type scheduleDoc struct {
	Kind     string     `yaml:"kind"`
	Project  string     `yaml:"project"`
	Server   string     `yaml:"server"`
	Name     string     `yaml:"name"`
	Enabled  *bool      `yaml:"enabled"`
	RRule    string     `yaml:"rrule"`
	Duration string     `yaml:"duration"`
	Policy   *policyDoc `yaml:"policy"`
}

type policyDoc struct {
	Scope      string            `yaml:"scope"`
	Hold       []string          `yaml:"hold"`
	Reboot     string            `yaml:"reboot"`
	Batch      int64             `yaml:"batch"`
	Prepare    string            `yaml:"prepare"`
	NoticeLead string            `yaml:"noticeLead"`
	Expect     map[string]string `yaml:"expect"`
}

type freezeDoc struct {
	Kind    string `yaml:"kind"`
	Project string `yaml:"project"`
	Start   string `yaml:"start"`
	End     string `yaml:"end"`
	Reason  string `yaml:"reason"`
}

// document is one of a file, and where it is; one of the four is set.
type document struct {
	file     string
	line     int // of its kind
	lines    map[string]int
	server   *serverDoc
	schedule *scheduleDoc
	freeze   *freezeDoc
	image    *imageDoc
	start    time.Time // of a freeze
	end      time.Time
}

// kinds are the keys that each kind of document may have, in the order in which
// they are told.
var kinds = map[string][]string{
	"Server": {"kind", "project", "name", "group", "labels", "image"},
	"Image": {"kind", "project", "channel", "version", "arch", "active", "name", "distro", "osVersion",
		"diskFormat", "minDiskGB", "minRAMMB", "checksum", "source", "notes"},
	"Schedule": {"kind", "project", "server", "name", "enabled", "rrule", "duration", "policy"},
	"Freeze":   {"kind", "project", "start", "end", "reason"},
}

// name is how a person names what the document is about.
func (d *document) name() string {
	switch {
	case d.server != nil:
		return "server " + d.server.Name
	case d.schedule != nil:
		return "schedule " + d.schedule.Server + "/" + d.schedule.Name
	case d.image != nil:
		return "image " + d.image.ref()
	}
	return fmt.Sprintf("freeze %q", d.freeze.Reason)
}

// key is what two documents of one file must not both be about.
func (d *document) key() string {
	switch {
	case d.server != nil:
		return d.name() + " of project " + d.server.Project
	case d.schedule != nil:
		return d.name() + " of project " + d.schedule.Project
	case d.image != nil:
		return d.name() + " of project " + d.image.Project
	}
	return fmt.Sprintf("%s of project %s from %s to %s", d.name(), d.freeze.Project, d.start, d.end)
}

// blame is an error about a field of the document, with the place.
func (d *document) blame(field, format string, args ...any) error {
	line := d.line
	if l, ok := d.lines[field]; ok {
		line = l
	}
	return invalidf("%s:%d: %s: %s: %s", d.file, line, clean(d.name()), field, fmt.Sprintf(format, args...))
}

// parseDocuments reads all documents of a text and checks their form. The first
// error ends it: those after it often come from it.
func parseDocuments(file string, text []byte) ([]*document, error) {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		line, reason := yamlReason(err)
		return nil, invalidf("%s:%d: %s", file, line, reason)
	}
	var all []*document
	seen := map[string]int{}
	for _, doc := range parsed.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue // a separator at the end, or a comment alone
		}
		d, err := parseDocument(file, doc.Body)
		if err != nil {
			return nil, err
		}
		if line, twice := seen[d.key()]; twice {
			return nil, invalidf("%s:%d: %s is in line %d already", file, d.line, clean(d.name()), line)
		}
		seen[d.key()] = d.line
		all = append(all, d)
	}
	if len(all) == 0 {
		return nil, invalidf("%s: there is no document in it", file)
	}
	return all, nil
}

func parseDocument(file string, body ast.Node) (*document, error) {
	d := &document{file: file, line: body.GetToken().Position.Line, lines: map[string]int{}}
	kind := ""
	var pairs []*ast.MappingValueNode
	switch m := body.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		return nil, invalidf("%s:%d: this is no document: keys with values are expected", file, d.line)
	}
	for _, p := range pairs {
		key := p.Key.GetToken()
		d.lines[key.Value] = key.Position.Line
		if key.Value == "kind" {
			kind, d.line = p.Value.GetToken().Value, key.Position.Line
		}
	}
	keys, known := kinds[kind]
	if !known {
		return nil, invalidf("%s:%d: kind must be %s, not %q", file, d.line, orList(slices.Sorted(maps.Keys(kinds))), clean(kind))
	}
	for _, p := range pairs {
		if key := p.Key.GetToken(); !slices.Contains(keys, key.Value) {
			return nil, invalidf("%s:%d: %s has no key %q; known are %s", file, key.Position.Line, kind, clean(key.Value), strings.Join(keys, ", "))
		}
	}
	var err error
	switch kind {
	case "Server":
		d.server = &serverDoc{}
		err = yaml.NodeToValue(body, d.server, yaml.Strict())
	case "Schedule":
		d.schedule = &scheduleDoc{}
		err = yaml.NodeToValue(body, d.schedule, yaml.Strict())
	case "Freeze":
		d.freeze = &freezeDoc{}
		err = yaml.NodeToValue(body, d.freeze, yaml.Strict())
	case "Image":
		d.image = &imageDoc{}
		err = yaml.NodeToValue(body, d.image, yaml.Strict())
	}
	if err != nil {
		line, reason := yamlReason(err)
		if e, ok := errors.AsType[*yaml.TypeError](err); ok {
			reason = d.keyIn(line) + "must be " + typeWords(e.DstType)
		}
		return nil, invalidf("%s:%d: %s: %s", file, line, kind, reason)
	}
	return d, d.check()
}

// keyIn names the document's key that is in a line, if one is.
func (d *document) keyIn(line int) string {
	for key, l := range d.lines {
		if l == line {
			return clean(key) + ": "
		}
	}
	return ""
}

// typeWords is what a YAML value must be to become a Go one.
func typeWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "keys with values"
	default:
		return "a text"
	}
}

// check refuses what is wrong whatever the server says: what is missing, and
// what can't be read.
func (d *document) check() error {
	switch {
	case d.server != nil:
		if d.server.Name == "" {
			return d.missing("name")
		}
	case d.schedule != nil:
		return d.checkSchedule()
	case d.freeze != nil:
		return d.checkFreeze()
	case d.image != nil:
		return d.checkImage()
	}
	return nil
}

func (d *document) missing(field string) error {
	return d.blame(field, "is missing")
}

func (d *document) checkSchedule() error {
	s := d.schedule
	for _, f := range []struct{ field, value string }{{"server", s.Server}, {"name", s.Name}, {"rrule", s.RRule}, {"duration", s.Duration}} {
		if f.value == "" {
			return d.missing(f.field)
		}
	}
	durations := map[string]string{"duration": s.Duration}
	if p := s.Policy; p != nil {
		durations["policy.prepare"], durations["policy.noticeLead"] = p.Prepare, p.NoticeLead
		for action, text := range p.Expect {
			durations["policy.expect."+action] = text
		}
	}
	for _, field := range slices.Sorted(maps.Keys(durations)) {
		text := durations[field]
		if _, err := time.ParseDuration(text); text != "" && err != nil {
			return d.blame(field, "must be a duration such as 90m or 2h30m, not %q", clean(text))
		}
	}
	return nil
}

func (d *document) checkFreeze() (err error) {
	f := d.freeze
	for _, v := range []struct{ field, value string }{{"start", f.Start}, {"end", f.End}, {"reason", f.Reason}} {
		if v.value == "" {
			return d.missing(v.field)
		}
	}
	if d.start, err = time.Parse(time.RFC3339, f.Start); err != nil {
		return d.blame("start", "must be a time such as 2026-12-20T00:00:00+01:00, not %q", clean(f.Start))
	}
	if d.end, err = time.Parse(time.RFC3339, f.End); err != nil {
		return d.blame("end", "must be a time such as 2027-01-04T00:00:00+01:00, not %q", clean(f.End))
	}
	if !d.end.After(d.start) {
		return d.blame("end", "must be after the start")
	}
	return nil
}

func orList(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// input is the document as the API takes it.
func (s *scheduleDoc) input() client.ScheduleInput {
	return client.ScheduleInput{RRule: s.RRule, Duration: s.Duration, Enabled: s.Enabled, Policy: s.Policy.input()}
}

func (p *policyDoc) input() *client.Policy {
	if p == nil {
		return nil
	}
	return &client.Policy{
		Scope: client.PolicyScope(p.Scope), Hold: p.Hold, Reboot: client.PolicyReboot(p.Reboot), Batch: p.Batch,
		Prepare: p.Prepare, NoticeLead: p.NoticeLead, Expect: p.Expect,
	}
}
