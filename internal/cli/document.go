package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"upkeep/client"
)

// document is one of a file, and where it is.
type document struct {
	file  string
	line  int // of its kind
	rank  int // of its kind
	lines map[string]int
	body  ast.Node // as it was written
	subject
}

// subject is what a document is about. There is one type for each kind, and its
// fields are the keys that a document of that kind may have. What check and
// compare find wrong with a field they return as *wrong.
type subject interface {
	// name is how a person names it, its kind first.
	name() string
	// in is the project that it names, if it names one.
	in() string
	// check refuses what is wrong whatever the server says: what is missing,
	// and what can't be read.
	check() error
	// compare says what is to be done with it: created, changed or unchanged.
	// docs are all that are applied together.
	compare(ctx context.Context, s *session, docs []*document) (string, error)
	// send makes it so.
	send(ctx context.Context, s *session) error
}

// Head is what all documents have. The YAML library embeds only what is exported.
type Head struct {
	Kind    string `yaml:"kind"`
	Project string `yaml:"project"`
}

func (h *Head) in() string { return h.Project }

// kind is one of the kinds of documents. topics.go and docs/cli.md tell their keys.
type kind struct {
	rank int // those with a lower one are applied before the others
	make func() subject
}

// Images and policies are first, for servers and schedules are made from them;
// then servers, their groups and services, before the schedules that stand on
// them; a release comes after its train.
var kinds = map[string]kind{
	"Image":    {0, func() subject { return &imageDoc{} }},
	"Policy":   {0, func() subject { return &updatePolicyDoc{} }},
	"Server":   {1, func() subject { return &serverDoc{} }},
	"Group":    {2, func() subject { return &groupDoc{} }},
	"Service":  {2, func() subject { return &serviceDoc{} }},
	"Runbook":  {2, func() subject { return &runbookDoc{} }},
	"Schedule": {3, func() subject { return &scheduleDoc{} }},
	"Freeze":   {3, func() subject { return &freezeDoc{} }},
	"Train":    {3, func() subject { return &trainDoc{} }},
	"Release":  {4, func() subject { return &releaseDoc{} }},
}

// keysOf are the keys that a document about something may have, in the order
// in which they are told.
func keysOf(about subject) (keys []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(about).Elem()) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		tag := first(f.Tag.Get("yaml"), f.Tag.Get("json"))
		key, _, _ := strings.Cut(tag, ",")
		keys = append(keys, key)
	}
	return keys
}

// key is what two documents of one file must not both be about.
func (d *document) key() string {
	key := d.name() + " of project " + d.in()
	if f, ok := d.subject.(*freezeDoc); ok { // there may be two for one reason
		key += fmt.Sprintf(" from %s to %s", f.start, f.end)
	}
	return key
}

// wrong is what is wrong with a field of a document.
type wrong struct {
	field  string // such as policy.within
	reason string // follows the field's name: "is missing"
}

func (w *wrong) Error() string { return w.field + ": " + w.reason }

func wrongf(field, format string, args ...any) error {
	return &wrong{field, fmt.Sprintf(format, args...)}
}

func missing(field string) error { return wrongf(field, "is missing") }

// needs blames the first field that is empty; they come in pairs of name and value.
func needs(fields ...string) error {
	for pair := range slices.Chunk(fields, 2) {
		if pair[len(pair)-1] == "" {
			return missing(pair[0])
		}
	}
	return nil
}

// lineOf is where a field stands, or what it is a part of; else the document.
func (d *document) lineOf(field string) int {
	if l, ok := d.lines[field]; ok {
		return l
	}
	if l, ok := lineAt(d.body, field); ok {
		return l
	}
	return d.line
}

// refused says which document, and where in it, an error is about.
func (d *document) refused(err error) error { return d.refusedIn("", err) }

// refusedIn is refused for what the server was asked of a part of the document.
func (d *document) refusedIn(part string, err error) error {
	if w, ok := errors.AsType[*wrong](err); ok {
		return invalidf("%s:%d: %s: %s", d.file, d.lineOf(w.field), clean(d.name()), w)
	}
	p, ok := errors.AsType[*client.Problem](err)
	if !ok {
		return err
	}
	text, field := sentence(err), p.Field()
	if part != "" {
		text, field = part+"."+text, part+"."+field
	}
	return &coded{code: exitCode(err), cause: err, text: fmt.Sprintf("%s:%d: %s: %s", d.file, d.lineOf(field), clean(d.name()), text)}
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
	made, known := kinds[kind]
	if !known {
		return nil, invalidf("%s:%d: kind must be %s, not %q", file, d.line, orList(slices.Sorted(maps.Keys(kinds))), clean(kind))
	}
	d.rank, d.subject = made.rank, made.make()
	keys := keysOf(d.subject)
	for _, p := range pairs {
		if key := p.Key.GetToken(); !slices.Contains(keys, key.Value) {
			return nil, invalidf("%s:%d: %s has no key %q; known are %s", file, key.Position.Line, kind, clean(key.Value), strings.Join(keys, ", "))
		}
	}
	if err := yaml.NodeToValue(body, d.subject, yaml.Strict()); err != nil {
		line, reason := yamlReason(err)
		if e, ok := errors.AsType[*yaml.TypeError](err); ok {
			reason = d.keyIn(line) + "must be " + typeWords(e.DstType)
		}
		return nil, invalidf("%s:%d: %s: %s", file, line, kind, reason)
	}
	if err := d.check(); err != nil {
		return nil, d.refused(err)
	}
	return d, nil
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

// checkDurations blames the first field that is no duration.
func checkDurations(all map[string]string) error {
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if _, ok := parseLength(all[field]); !ok {
			return wrongf(field, "must be a duration such as 14d, 90m or 2h30m, not %q", clean(all[field]))
		}
	}
	return nil
}

func orList(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// lineAt is where a field such as member.do[0].with.url stands in a document's
// text, or the next thing around it that does.
func lineAt(body ast.Node, field string) (line int, ok bool) {
	for path := field; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		at, err := yaml.PathString("$." + path)
		if err != nil {
			continue
		}
		node, err := at.FilterNode(body)
		if err != nil || node == nil {
			continue
		}
		if m, is := node.(*ast.MappingNode); is && len(m.Values) > 0 {
			node = m.Values[0].Key
		} else if v, is := node.(*ast.MappingValueNode); is {
			node = v.Key
		}
		return node.GetToken().Position.Line, true
	}
	return 0, false
}
