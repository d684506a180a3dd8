package dnf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/rpm"
)

// updateFormat makes dnf print what parseUpdates reads.
const updateFormat = `%{name}\t%{epoch}\t%{version}\t%{release}\t%{arch}\t%{downloadsize}\t%{buildtime}\t%{repoid}`

// parseUpdates reads what dnf prints in updateFormat. What is not installed, or
// not older, is no update.
func parseUpdates(text, native string, state rpm.State) []action.Pending {
	var all []action.Pending
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 || f[0] == "" || f[2] == "" {
			continue
		}
		p := action.Pending{Name: rpm.Name(f[0], f[4], native), To: rpm.Version(f[1], f[2], f[3]), Origin: f[7]}
		p.From = state.Newest(p.Name)
		if p.From == "" || rpm.Compare(p.From, p.To) >= 0 {
			continue
		}
		if n, err := strconv.ParseInt(f[5], 10, 64); err == nil && n > 0 {
			p.Bytes = n
		}
		p.Released = parseTime(f[6])
		all = append(all, p)
	}
	return all
}

// parseTime reads the two forms in which dnf prints times.
func parseTime(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// parseSimulation reads what a dnf that was asked with -v would do:
//
//	---> Package added.noarch 1.0-1 will be installed
//	---> Package plain.noarch 1.0-1 will be upgraded
//	---> Package plain.noarch 2.0-1 will be an upgrade
//	---> Package eaten.noarch 1.0-1 will be obsoleted
//
// It is not ok if dnf found no way, or did not get so far.
func parseSimulation(text, native string, state rpm.State) (effects []action.Change, ok bool) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "Dependencies resolved." {
			ok = true
		}
		rest, is := strings.CutPrefix(line, "---> Package ")
		f := strings.Fields(rest)
		if !is || len(f) < 5 || f[2] != "will" || f[3] != "be" {
			continue
		}
		i := strings.LastIndexByte(f[0], '.')
		if i <= 0 {
			continue
		}
		c := action.Change{Name: rpm.Name(f[0][:i], f[0][i+1:], native)}
		c.From = state.Newest(c.Name)
		switch strings.Join(f[4:], " ") {
		case "an upgrade", "a downgrade", "installed", "reinstalled":
			c.To = f[1]
		case "erased", "obsoleted":
		default:
			continue // the other half of an upgrade or a downgrade
		}
		effects = append(effects, c)
	}
	return effects, ok
}

// advisories is what is known of updates beside the updates themselves.
type advisories struct {
	asked   map[action.Package]bool      // the updates that were asked about
	secure  map[string][]string          // name → the versions that mend a hole
	publish map[action.Package]time.Time // when the advisory of a version came out
}

// newAdvisories reads what dnf says of advisories: which are of security, which
// there are, and from when they are.
func newAdvisories(all []action.Pending, security, list, info, native string) *advisories {
	a := &advisories{asked: map[action.Package]bool{}, secure: map[string][]string{}, publish: map[action.Package]time.Time{}}
	for _, p := range all {
		a.asked[action.Package{Name: p.Name, Version: p.To}] = true
	}
	for _, row := range parseAdvisories(security, native) {
		a.secure[row.Name] = append(a.secure[row.Name], row.Version)
	}
	dates := parseDates(info)
	for _, row := range parseAdvisories(list, native) {
		at, known := dates[row.id]
		if was, ok := a.publish[row.Package]; known && (!ok || at.Before(was)) {
			a.publish[row.Package] = at
		}
	}
	return a
}

func (a *advisories) knows(p action.Pending) bool {
	return a != nil && a.asked[action.Package{Name: p.Name, Version: p.To}]
}

// security reports whether an update mends a hole: an update is also all those
// between the installed version and it.
func (a *advisories) security(p action.Pending) bool {
	return p.From != "" && slices.ContainsFunc(a.secure[p.Name], func(v string) bool {
		return rpm.Compare(v, p.From) > 0 && rpm.Compare(v, p.To) <= 0
	})
}

func (a *advisories) released(p action.Pending) time.Time {
	return a.publish[action.Package{Name: p.Name, Version: p.To}]
}

// advisory is one line of a list of advisories.
type advisory struct {
	id string
	action.Package
}

// parseAdvisories reads "LAB-2024:0001 Important/Sec. fixed-2.0-1.noarch".
func parseAdvisories(text, native string) []advisory {
	var all []advisory
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if name, version, arch, ok := rpm.ParseNEVRA(f[len(f)-1]); ok {
			all = append(all, advisory{f[0], action.Package{Name: rpm.Name(name, arch, native), Version: version}})
		}
	}
	return all
}

// parseDates reads from when advisories are, of lines such as
//
//	Update ID: LAB-2024:0001
//	  Updated: 2024-03-06 10:00:00
func parseDates(text string) map[string]time.Time {
	dates := map[string]time.Time{}
	id := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch strings.TrimSpace(key) {
		case "Update ID":
			id = strings.TrimSpace(value)
		case "Updated":
			if at := parseTime(value); id != "" && !at.IsZero() && dates[id].IsZero() {
				dates[id] = at
			}
		}
	}
	return dates
}

// parseLocks reads versionlock's file, "name-epoch:version-release.*" or a bare
// name a line, into patterns of names.
func parseLocks(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "!")
		if line == "" || line[0] == '#' {
			continue
		}
		if name, _, _, ok := rpm.ParseNEVRA(line); ok && strings.Contains(line, ":") {
			line = name
		}
		names = append(names, line)
	}
	return names
}

// parseExcludes reads what dnf's configuration excludes everywhere, as patterns of names.
func parseExcludes(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); ok && (key == "exclude" || key == "excludepkgs") {
			names = append(names, strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
		}
	}
	return names
}

// parseDuplicates reads "cut-1.0-1.noarch is a duplicate with cut-2.0-1.noarch".
func parseDuplicates(text, native string) []string {
	var names []string
	for line := range strings.Lines(text) {
		nevra, _, ok := strings.Cut(strings.TrimSpace(line), " is a duplicate with ")
		if !ok {
			continue
		}
		if name, _, arch, ok := rpm.ParseNEVRA(nevra); ok {
			names = append(names, rpm.Name(name, arch, native))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parseCutOff reads what the last transaction was to install, if it was cut
// off: then it has no state of the database at its end. One that has failed has.
//
//	End rpmdb      :  **
//	Packages Altered:
//	 ** Upgrade  cut-2.0-1.noarch @lab
//	 ** Upgraded cut-1.0-1.noarch @@System
func parseCutOff(text, native string) []action.Package {
	var all []action.Package
	cut := false
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "End rpmdb" {
			value = strings.TrimSpace(value)
			cut = value == "" || value == "**"
		}
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "**" || !slices.Contains([]string{"Install", "Upgrade", "Downgrade", "Reinstall"}, f[1]) {
			continue
		}
		if name, version, arch, ok := rpm.ParseNEVRA(f[2]); ok && cut {
			all = append(all, action.Package{Name: rpm.Name(name, arch, native), Version: version})
		}
	}
	return all
}

// parseNeedsRestarting reads "  * glibc" lines.
func parseNeedsRestarting(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "* "); ok && !strings.Contains(name, " ") {
			names = append(names, name)
		}
	}
	return names
}

// reasons adds to what is missing why dnf has left it out:
//
//	Problem: package ousts-2.0-1.noarch conflicts with plain provided by plain-1.0-1.noarch
func reasons(missing []action.Failure, output string) []action.Failure {
	for i, f := range missing {
		bare, _ := rpm.Split(f.Name)
		for line := range strings.Lines(output) {
			line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "Problem: "), "- ")
			mentions := strings.Contains(line, " "+bare+"-") || strings.HasSuffix(line, " "+bare)
			why := strings.HasPrefix(line, "nothing provides ") || strings.Contains(line, " conflicts with ") ||
				strings.Contains(line, " requires ") || strings.HasPrefix(line, "No match for argument: "+bare+"-")
			if why && (mentions || strings.HasPrefix(line, "No match")) {
				missing[i].Reason += ": " + line
				break
			}
		}
	}
	return missing
}

// maxErrors is how many of dnf's lines make a reason.
const maxErrors = 5

// lastErrors joins what dnf says after "Error:", or takes the last line.
func lastErrors(text string, code int) string {
	var errs []string
	last, within := "", false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		rest, is := strings.CutPrefix(trimmed, "Error: ")
		switch {
		case trimmed == "Error:" || is:
			within = true
		case within && strings.HasPrefix(line, " "):
			rest, is = strings.TrimSpace(strings.TrimPrefix(trimmed, "- ")), true
		default:
			within = false
		}
		if is && rest != "" && !slices.Contains(errs, rest) {
			errs = append(errs, rest)
		}
		if trimmed != "" {
			last = trimmed
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
