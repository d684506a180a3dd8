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

	Management   string `yaml:"management"`
	UpdatePolicy string `yaml:"updatePolicy"`
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

type freezeDoc struct {
	Kind    string `yaml:"kind"`
	Project string `yaml:"project"`
	Start   string `yaml:"start"`
	End     string `yaml:"end"`
	Reason  string `yaml:"reason"`
}

// document is one of a file, and where it is; one kind of it is set.
type document struct {
	file     string
	line     int // of its kind
	lines    map[string]int
	server   *serverDoc
	schedule *scheduleDoc
	freeze   *freezeDoc
	image    *imageDoc
	policy   *updatePolicyDoc
	group    *groupDoc
	service  *ServiceDoc
	runbook  *RunbookDoc
	train    *TrainDoc
	release  *ReleaseDoc
	body     ast.Node  // as it was written
	start    time.Time // of a freeze
	end      time.Time
}

// kinds are the keys that each kind of document may have, in the order in which
// they are told.
var kinds = map[string][]string{
	"Server": {"kind", "project", "name", "group", "labels", "image", "management", "updatePolicy"},
	"Policy": {"kind", "project", "name", "description", "default", "enabled", "spread", "zone", "rrule", "weekly", "duration", "missed", "policy"},
	"Group":  {"kind", "project", "name", "maxUnavailable", "canaries", "soak", "stopAfter", "rrule", "weekly", "duration"},
	"Image": {"kind", "project", "channel", "version", "arch", "active", "name", "distro", "osVersion",
		"diskFormat", "minDiskGB", "minRAMMB", "checksum", "source", "notes"},
	"Schedule": {"kind", "project", "server", "service", "name", "runbook", "params", "enabled", "rrule", "weekly", "duration", "missed", "updatePolicy", "allowOverlap", "policy"},
	"Freeze":   {"kind", "project", "start", "end", "reason"},
	"Service":  {"kind", "project", "name", "labels", "quorum", "manager", "claims", "with", "members", "proxies", "probe"},
	"Train":    {"kind", "project", "name", "title", "environments", "phases", "gates", "catalogue"},
	"Release":  {"kind", "project", "train", "version", "title", "digests", "issues"},
	"Runbook":  {"kind", "project", "name", "title", "description", "params", "targets", "order", "claims", "maxUnavailable", "batches", "pause", "budget", "errorBudget", "prove", "before", "member", "after"},
}

// name is how a person names what the document is about.
func (d *document) name() string {
	switch {
	case d.server != nil:
		return "server " + d.server.Name
	case d.schedule != nil:
		return "schedule " + d.schedule.on() + "/" + d.schedule.Name
	case d.image != nil:
		return "image " + d.image.ref()
	case d.policy != nil:
		return "policy " + d.policy.Name
	case d.group != nil:
		return "group " + d.group.Name
	case d.service != nil:
		return "service " + d.service.Name
	case d.runbook != nil:
		return "runbook " + d.runbook.Name
	case d.train != nil:
		return "train " + d.train.Name
	case d.release != nil:
		return "release " + d.release.Train + "/" + d.release.Version
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
	case d.policy != nil:
		return d.name() + " of project " + d.policy.Project
	case d.group != nil:
		return d.name() + " of project " + d.group.Project
	case d.service != nil:
		return d.name() + " of project " + d.service.Project
	case d.runbook != nil:
		return d.name() + " of project " + d.runbook.Project
	case d.train != nil:
		return d.name() + " of project " + d.train.Project
	case d.release != nil:
		return d.name() + " of project " + d.release.Project
	}
	return fmt.Sprintf("%s of project %s from %s to %s", d.name(), d.freeze.Project, d.start, d.end)
}

// blame is an error about a field of the document, with the place.
func (d *document) blame(field, format string, args ...any) error {
	return invalidf("%s:%d: %s: %s: %s", d.file, d.lineOf(field), clean(d.name()), field, fmt.Sprintf(format, args...))
}

// lineOf is where a field stands, or what it is a part of; else the document.
func (d *document) lineOf(field string) int {
	if d.runbook != nil || d.service != nil || d.train != nil || d.release != nil {
		if line, ok := lineAt(d.body, field); ok {
			return line
		}
	}
	if l, ok := d.lines[strings.SplitN(field, ".", 2)[0]]; ok {
		return l
	}
	return d.line
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
	d := &document{file: file, body: body, line: body.GetToken().Position.Line, lines: map[string]int{}}
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
	err := yaml.NodeToValue(body, d.of(kind), yaml.Strict())
	if err != nil {
		line, reason := yamlReason(err)
		if e, ok := errors.AsType[*yaml.TypeError](err); ok {
			reason = d.keyIn(line) + "must be " + typeWords(e.DstType)
		}
		return nil, invalidf("%s:%d: %s: %s", file, line, kind, reason)
	}
	return d, d.check()
}

// of makes room for a kind of document.
func (d *document) of(kind string) any {
	switch kind {
	case "Server":
		d.server = &serverDoc{}
		return d.server
	case "Schedule":
		d.schedule = &scheduleDoc{}
		return d.schedule
	case "Image":
		d.image = &imageDoc{}
		return d.image
	case "Policy":
		d.policy = &updatePolicyDoc{}
		return d.policy
	case "Group":
		d.group = &groupDoc{}
		return d.group
	case "Service":
		d.service = &ServiceDoc{}
		return d.service
	case "Runbook":
		d.runbook = &RunbookDoc{}
		return d.runbook
	case "Train":
		d.train = &TrainDoc{}
		return d.train
	case "Release":
		d.release = &ReleaseDoc{}
		return d.release
	}
	d.freeze = &freezeDoc{}
	return d.freeze
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
		return d.checkServer()
	case d.schedule != nil:
		return d.checkSchedule()
	case d.freeze != nil:
		return d.checkFreeze()
	case d.image != nil:
		return d.checkImage()
	case d.policy != nil:
		return d.checkPolicy()
	case d.group != nil:
		return d.checkGroup()
	case d.service != nil:
		return d.checkService()
	case d.runbook != nil:
		return d.checkRunbook()
	case d.train != nil:
		return d.checkTrain()
	case d.release != nil:
		return d.checkRelease()
	}
	return nil
}

func (d *document) missing(field string) error {
	return d.blame(field, "is missing")
}

// checkDurations blames the first field that is no duration.
func (d *document) checkDurations(all map[string]string) error {
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if _, ok := parseLength(all[field]); !ok {
			return d.blame(field, "must be a duration such as 14d, 90m or 2h30m, not %q", clean(all[field]))
		}
	}
	return nil
}

func (d *document) checkServer() error {
	switch s := d.server; {
	case s.Name == "":
		return d.missing("name")
	case s.Management != "" && s.Management != string(client.Managed) && s.Management != string(client.Unmanaged):
		return d.blame("management", "must be managed or unmanaged, not %q", clean(s.Management))
	case s.UpdatePolicy != "" && s.Management != string(client.Managed):
		return d.blame("updatePolicy", "goes with management: managed")
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
