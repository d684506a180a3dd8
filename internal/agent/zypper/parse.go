package zypper

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/rpm"
)

// element is a start of an element of zypper's XML, with the names of those that
// it is in.
type element struct {
	name  string
	in    []string
	attrs map[string]string
}

// maxDepth is how deep zypper's XML may be.
const maxDepth = 100

// walk calls start for each element and text for what is written in one; in is
// theirs only for that call. It goes as far as the text is XML.
func walk(s string, start func(element), text func(in []string, s string)) {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Strict = false
	var in []string
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := element{name: t.Name.Local, in: in, attrs: map[string]string{}}
			for _, a := range t.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			if start != nil {
				start(e)
			}
			if in = append(in, t.Name.Local); len(in) > maxDepth {
				return
			}
		case xml.EndElement:
			if len(in) > 0 {
				in = in[:len(in)-1]
			}
		case xml.CharData:
			if text != nil {
				text(in, string(t))
			}
		}
	}
}

// parseUpdates reads list-updates. What is not installed, or not older, is no update.
func parseUpdates(s, native string, state rpm.State) []action.Pending {
	var all []action.Pending
	update := false
	walk(s, func(e element) {
		switch e.name {
		case "update":
			p := action.Pending{Name: rpm.Name(e.attrs["name"], e.attrs["arch"], native), To: edition(e.attrs["edition"])}
			p.From = state.Newest(p.Name)
			update = e.attrs["kind"] == "package" && p.Name != "" && p.To != "" && p.From != "" && rpm.Compare(p.From, p.To) < 0
			if update {
				all = append(all, p)
			}
		case "source":
			if update {
				all[len(all)-1].Origin = e.attrs["alias"]
			}
		}
	}, nil)
	return all
}

// edition writes a version as rpm's, without an epoch of 0.
func edition(s string) string { return strings.TrimPrefix(s, "0:") }

// parseSummary reads what would be done from an install-summary: to-upgrade,
// to-downgrade, to-install, to-remove and their kin.
func parseSummary(s, native string) []action.Change {
	var all []action.Change
	walk(s, func(e element) {
		if e.name != "solvable" || e.attrs["type"] != "package" || len(e.in) == 0 {
			return
		}
		c := action.Change{Name: rpm.Name(e.attrs["name"], e.attrs["arch"], native)}
		version := edition(e.attrs["edition"])
		if c.Name == "" || version == "" {
			return
		}
		group := e.in[len(e.in)-1]
		switch {
		case strings.HasPrefix(group, "to-remove"):
			c.From = version
		case strings.HasPrefix(group, "to-"):
			c.From, c.To = edition(e.attrs["edition-old"]), version
		default:
			return
		}
		all = append(all, c)
	}, nil)
	return all
}

// parseLocks reads the names, or patterns of names, that are locked.
func parseLocks(s string) []string {
	var all []string
	name, kinds := "", []string(nil)
	add := func() {
		if name != "" && (len(kinds) == 0 || slices.Contains(kinds, "package")) {
			all = append(all, name)
		}
		name, kinds = "", nil
	}
	walk(s, func(e element) {
		if e.name == "lock" {
			add()
		}
	}, func(in []string, s string) {
		s = strings.TrimSpace(s)
		if len(in) < 2 || in[len(in)-2] != "lock" || s == "" {
			return
		}
		switch in[len(in)-1] {
		case "name":
			name = strings.TrimPrefix(s, "package:")
		case "type":
			kinds = append(kinds, s)
		}
	})
	add()
	return all
}

// parseFound reads the names that a search has found.
func parseFound(s string) []string {
	var all []string
	walk(s, func(e element) {
		if e.name == "solvable" && e.attrs["name"] != "" && (e.attrs["kind"] == "package" || e.attrs["type"] == "package") {
			all = append(all, e.attrs["name"])
		}
	}, nil)
	slices.Sort(all)
	return slices.Compact(all)
}

// patch is one advisory that is needed.
type patch struct {
	name     string
	security bool
	issued   time.Time
}

// parsePatches reads list-patches. The list may hold others than were asked for.
func parsePatches(s string) []patch {
	var all []patch
	needed := false
	walk(s, func(e element) {
		switch e.name {
		case "update":
			needed = e.attrs["kind"] == "patch" && e.attrs["status"] == "needed" && e.attrs["name"] != "" && e.attrs["name"][0] != '-'
			if needed {
				all = append(all, patch{name: e.attrs["name"], security: e.attrs["category"] == "security"})
			}
		case "issue-date":
			if at, err := strconv.ParseInt(e.attrs["time_t"], 10, 64); needed && err == nil && at > 0 {
				all[len(all)-1].issued = time.Unix(at, 0).UTC()
			}
		}
	}, nil)
	return all
}

// parsePatchInfo reads what patches are about: a patch conflicts with what is
// older than it brings.
//
//	Name        : LAB-2024:0001
//	Conflicts   : [2]
//	    fixed < 2.0-1
//	    epoch.noarch < 1:2.0~rc1-1
//
// or, if there is one,
//
//	Conflicts   : plain < 2.0-1
func parsePatchInfo(text, native string) map[string][]action.Package {
	all := map[string][]action.Package{}
	name, within := "", false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			key, value, ok := strings.Cut(line, " : ")
			key = strings.TrimSpace(key)
			within = ok && key == "Conflicts"
			if ok && key == "Name" {
				name = strings.TrimSpace(value)
			}
			line = value
		}
		what, version, ok := strings.Cut(strings.TrimSpace(line), " < ")
		if !within || !ok || name == "" || strings.Contains(what, ":") || strings.Contains(what, " ") {
			continue
		}
		if bare, arch, ok := cutArch(what); ok {
			what = rpm.Name(bare, arch, native)
		}
		if p := (action.Package{Name: what, Version: edition(version)}); !slices.Contains(all[name], p) {
			all[name] = append(all[name], p)
		}
	}
	return all
}

// architectures are those that rpm packages are made for, as names end in them.
var architectures = []string{"noarch", "x86_64", "i386", "i486", "i586", "i686", "aarch64", "armv7hl", "ppc64le", "s390x", "riscv64"}

// cutArch cuts the architecture off a name that ends in one: names have dots too.
func cutArch(s string) (bare, arch string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 || !slices.Contains(architectures, s[i+1:]) {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// patches is what is known of updates beside the updates themselves.
type patches struct {
	asked map[action.Package]bool // the updates that were asked about
	mends map[string][]mend
}

// mend is a version that a patch brings.
type mend struct {
	version string
	patch
}

func newPatches(all []action.Pending, needed []patch, about map[string][]action.Package) *patches {
	p := &patches{asked: map[action.Package]bool{}, mends: map[string][]mend{}}
	for _, u := range all {
		p.asked[action.Package{Name: u.Name, Version: u.To}] = true
	}
	for _, one := range needed {
		for _, m := range about[one.name] {
			p.mends[m.Name] = append(p.mends[m.Name], mend{m.Version, one})
		}
	}
	return p
}

func (p *patches) knows(u action.Pending) bool {
	return p != nil && p.asked[action.Package{Name: u.Name, Version: u.To}]
}

// of says whether an update mends a hole, and from when the patch is that brings
// just its version. An update is also all those between the installed version and it.
func (p *patches) of(u action.Pending) (security bool, released time.Time) {
	for _, m := range p.mends[u.Name] {
		if u.From == "" || rpm.Compare(m.version, u.From) <= 0 || rpm.Compare(m.version, u.To) > 0 {
			continue
		}
		security = security || m.security
		if rpm.Compare(m.version, u.To) == 0 && !m.issued.IsZero() && (released.IsZero() || m.issued.Before(released)) {
			released = m.issued
		}
	}
	return security, released
}

// parseSeveral reads the names of which libzypp may install several versions.
func parseSeveral(config string) []string {
	var names []string
	for line := range strings.Lines(config) {
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "multiversion" {
			continue
		}
		for word := range strings.SplitSeq(value, ",") {
			if word = strings.TrimSpace(word); word != "" && !strings.Contains(word, ":") && word[0] != '#' {
				names = append(names, word)
			}
		}
	}
	return names
}

// parseNotInstalled reads "Installation of badpre-2.0-1.noarch failed:".
func parseNotInstalled(text, native string) []string {
	var names []string
	for line := range strings.Lines(text) {
		nevra, ok := strings.CutPrefix(strings.TrimSpace(line), "Installation of ")
		if !ok {
			continue
		}
		if nevra, ok = strings.CutSuffix(nevra, " failed:"); !ok {
			continue
		}
		if name, _, arch, ok := rpm.ParseNEVRA(nevra); ok {
			names = append(names, rpm.Name(name, arch, native))
		}
	}
	return names
}

// messages is what zypper says in its XML to a person.
func messages(s string) string {
	var b strings.Builder
	walk(s, nil, func(in []string, s string) {
		if slices.Contains(in, "message") || len(in) > 1 && in[len(in)-2] == "prompt" && in[len(in)-1] == "description" {
			b.WriteString(s)
			b.WriteByte('\n')
		}
	})
	return b.String()
}

// maxErrors is how many of zypper's lines make a reason.
const maxErrors = 5

// lastErrors joins the lines that tell of an error, or takes the last line.
func lastErrors(text string, code int) string {
	var errs []string
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		rest, problem := strings.CutPrefix(line, "Problem: ")
		switch {
		case problem:
			line = rest
		case strings.HasPrefix(line, "No provider of "), strings.HasPrefix(line, "System management is locked"),
			strings.HasPrefix(line, "Error message: "), strings.HasPrefix(line, "Root privileges are required"),
			strings.HasPrefix(line, "Repository '") && strings.HasSuffix(line, " is invalid."):
		default:
			if line != "" {
				last = line
			}
			continue
		}
		if !slices.Contains(errs, line) {
			errs = append(errs, line)
		}
	}
	switch {
	case len(errs) > 0:
		return strings.Join(errs[:min(len(errs), maxErrors)], "; ")
	case last != "":
		return last
	}
	return fmt.Sprintf("it ended with %d", code)
}
