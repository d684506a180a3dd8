package apt

import (
	"slices"
	"strconv"
	"strings"

	"upkeep/internal/action"
)

// version is the state of one package as dpkg knows it.
type version struct {
	Version string
	Broken  bool // half installed, unpacked, half configured, or waiting for triggers
	Held    bool // the host's administrator holds it back
}

// queryFormat makes dpkg-query print what parseQuery reads.
const queryFormat = `${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n`

// parseQuery reads which packages are there, by name, with ":arch" where it
// is not the host's own.
func parseQuery(text, native string) map[string]version {
	all := map[string]version{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 || f[0] == "" || len(f[3]) < 2 {
			continue
		}
		// The second letter is the state; n and c: nothing of it is there.
		state := f[3][1]
		if state == 'n' || state == 'c' {
			continue
		}
		name := f[0]
		if f[1] != native && f[1] != "all" && f[1] != "" {
			name += ":" + f[1]
		}
		all[name] = version{Version: f[2], Broken: state != 'i' || strings.HasPrefix(f[3][2:], "R"), Held: f[3][0] == 'h'}
	}
	return all
}

// parsePending reads the "Inst" lines of a simulated upgrade:
//
//	Inst libc6 [2.36-9] (2.36-10 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64]) []
func parsePending(text, native string) []action.Pending {
	var all []action.Pending
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Inst ")
		if !ok {
			continue
		}
		name, rest, ok := strings.Cut(rest, " ")
		if !ok {
			continue
		}
		p := action.Pending{Name: ownName(name, native)}
		if old, ok := strings.CutPrefix(rest, "["); ok {
			if p.From, rest, ok = strings.Cut(old, "] "); !ok {
				continue
			}
		}
		inner, ok := strings.CutPrefix(rest, "(")
		if !ok {
			continue
		}
		inner, _, ok = strings.Cut(inner, ")")
		if !ok {
			continue
		}
		p.To, inner, _ = strings.Cut(inner, " ")
		if i := strings.LastIndex(inner, " ["); i >= 0 {
			inner = inner[:i]
		}
		p.Origin = strings.TrimSpace(inner)
		p.Security = isSecurity(p.Origin)
		if p.Name == "" || p.To == "" {
			continue
		}
		all = append(all, p)
	}
	return all
}

// isSecurity reports whether one of an update's origins is a security archive:
// Debian-Security:12/stable-security, Ubuntu:24.04/noble-security,
// UbuntuESM:22.04/jammy-infra-security.
func isSecurity(origins string) bool {
	for o := range strings.SplitSeq(origins, ", ") {
		label, suite, _ := strings.Cut(o, "/")
		label, _, _ = strings.Cut(label, ":")
		if label == "Debian-Security" || strings.HasPrefix(label, "UbuntuESM") || strings.HasSuffix(suite, "-security") {
			return true
		}
	}
	return false
}

// ownName drops the architecture from a name if it is the host's own.
func ownName(name, native string) string {
	bare, arch, ok := strings.Cut(name, ":")
	if ok && (arch == native || arch == "all") {
		return bare
	}
	return name
}

// parseSizes reads what is to be downloaded, by "name_version" as in file names:
//
//	'http://…/curl_7.88_amd64.deb' curl_7.88_amd64.deb 315000 SHA256:…
func parseSizes(text string) map[string]int64 {
	sizes := map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[0], "'") {
			continue
		}
		parts := strings.Split(f[1], "_")
		n, err := strconv.ParseInt(f[2], 10, 64)
		if len(parts) < 2 || err != nil || n < 0 {
			continue
		}
		sizes[parts[0]+"_"+strings.ReplaceAll(parts[1], "%3a", ":")] = n
	}
	return sizes
}

// parseUnmet lists the packages whose dependencies are broken, for which apt
// refuses to plan anything:
//
//	The following packages have unmet dependencies:
//	 grows : Depends: added but it is not installed
func parseUnmet(text, native string) []string {
	_, rest, ok := strings.Cut(text, "have unmet dependencies:\n")
	if !ok {
		return nil
	}
	var names []string
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, " ") {
			break
		}
		// What follows a package's first line is indented further.
		if name, _, ok := strings.Cut(line[1:], " : "); ok && name != "" && !strings.HasPrefix(name, " ") {
			names = append(names, ownName(strings.TrimSpace(name), native))
		}
	}
	return names
}

// parseFailures reads which packages failed, and why, from what apt-get or
// dpkg printed. Without one, the command as a whole failed: then there is one
// failure without a name.
func parseFailures(text, native string) []action.Failure {
	var all []action.Failure
	add := func(name, reason string) {
		name = ownName(name, native)
		i := slices.IndexFunc(all, func(f action.Failure) bool { return f.Name == name })
		switch {
		case name == "":
		case i < 0:
			all = append(all, action.Failure{Name: name, Reason: reason})
		case all[i].Reason == "":
			all[i].Reason = reason
		}
	}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if what, ok := strings.CutPrefix(lines[i], "dpkg: error processing "); ok {
			reason := ""
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
				reason = strings.TrimSpace(lines[i+1])
			}
			name := failedName(what)
			if strings.HasPrefix(reason, "dependency problems") {
				reason = joinWords(reason, dependencies(lines[:i], name))
			}
			add(name, reason)
		}
		if strings.HasPrefix(lines[i], "Errors were encountered while processing:") {
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
				i++
				add(fileName(strings.TrimSpace(lines[i])), "")
			}
		}
	}
	for i := range all {
		if all[i].Reason == "" {
			all[i].Reason = "dpkg could not process it"
		}
	}
	if len(all) == 0 {
		return []action.Failure{{Reason: lastErrors(lines)}}
	}
	return all
}

// failedName reads "package NAME (--configure):" and "archive FILE (--unpack):".
func failedName(what string) string {
	if i := strings.LastIndex(what, " (--"); i >= 0 {
		what = what[:i]
	}
	if name, ok := strings.CutPrefix(what, "package "); ok {
		return name
	}
	return fileName(strings.TrimPrefix(what, "archive "))
}

// fileName is the package's name in an archive's file name, or the name itself.
func fileName(s string) string {
	if !strings.Contains(s, "/") {
		return s
	}
	s = s[strings.LastIndex(s, "/")+1:]
	name, _, _ := strings.Cut(s, "_")
	return name
}

// dependencies is what dpkg said about a package's dependency problems.
func dependencies(before []string, name string) string {
	for i, line := range slices.Backward(before) {
		if !strings.HasPrefix(line, "dpkg: dependency problems prevent ") || !strings.HasSuffix(line, " of "+name+":") {
			continue
		}
		var words []string
		for _, line := range before[i+1:] {
			if !strings.HasPrefix(line, " ") {
				break
			}
			words = append(words, strings.TrimSpace(line))
		}
		return strings.Join(words, " ")
	}
	return ""
}

func joinWords(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

// maxErrors is how many lines of apt's own errors make a reason.
const maxErrors = 5

// lastErrors joins apt's last "E:" lines, dpkg's errors, or at least the last line.
func lastErrors(lines []string) string {
	var errs []string
	last := ""
	for _, line := range lines {
		text, ok := strings.CutPrefix(line, "E: ")
		if !ok {
			text, ok = strings.CutPrefix(line, "dpkg: error: ")
		}
		// What another program says may follow without a line of its own.
		text, _, _ = strings.Cut(text, "debconf: ")
		text = strings.TrimSpace(text)
		if ok && text != "" && !slices.Contains(errs, text) {
			errs = append(errs, text)
		}
		if strings.TrimSpace(line) != "" {
			last = strings.TrimSpace(line)
		}
	}
	if len(errs) == 0 {
		return last
	}
	return strings.Join(errs[max(0, len(errs)-maxErrors):], "; ")
}

// parseNames reads one package a line.
func parseNames(text, native string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if name := strings.TrimSpace(line); name != "" {
			names = append(names, ownName(name, native))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parseKernelBuild finds the package version that Debian writes into a kernel's
// own description: "… SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)".
func parseKernelBuild(description string) string {
	_, rest, ok := strings.Cut(description, " Debian ")
	if !ok {
		return ""
	}
	for word := range strings.FieldsSeq(rest) {
		if word[0] >= '0' && word[0] <= '9' && validVersion(word) {
			return word
		}
	}
	return ""
}
