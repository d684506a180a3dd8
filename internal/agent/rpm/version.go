package rpm

import (
	"cmp"
	"strings"

	"upkeep/internal/action"
)

// Name is a package's name as the agent writes it.
func Name(name, arch, native string) string {
	if arch == "" || arch == native || arch == "noarch" {
		return name
	}
	return name + ":" + arch
}

// Split parts a name into rpm's own and the architecture, empty if it is the
// host's own.
func Split(name string) (bare, arch string) {
	bare, arch, _ = strings.Cut(name, ":")
	return bare, arch
}

// Version writes a version. An epoch of 0 is left out, as rpm leaves it out.
func Version(epoch, version, release string) string {
	v := version
	if epoch != "" && epoch != "0" && epoch != "(none)" {
		v = epoch + ":" + v
	}
	if release != "" {
		v += "-" + release
	}
	return v
}

// Full writes a version with its epoch, as names on a command line need it
// lest "a-1" be the package "a-1".
func Full(version string) string {
	if strings.Contains(version, ":") {
		return version
	}
	return "0:" + version
}

// ParseNEVRA reads "name-[epoch:]version-release.arch".
func ParseNEVRA(s string) (name, version, arch string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", "", false
	}
	s, arch = s[:i], s[i+1:]
	if i = strings.LastIndexByte(s, '-'); i < 0 {
		return "", "", "", false
	}
	s, release := s[:i], s[i+1:]
	if i = strings.LastIndexByte(s, '-'); i < 0 {
		return "", "", "", false
	}
	name, version = s[:i], s[i+1:]
	epoch, rest, ok := strings.Cut(version, ":")
	if !ok {
		epoch, rest = "", version
	}
	if name == "" || rest == "" || release == "" || arch == "" {
		return "", "", "", false
	}
	return name, Version(epoch, rest, release), arch, true
}

// Valid reports whether p could be a package, so that what is none is never
// taken for an option or a pattern.
func Valid(p action.Package) bool {
	name, arch := Split(p.Name)
	return validWord(name, "._+-") && (arch == "" || validWord(arch, "_")) && !strings.HasSuffix(p.Name, ":") &&
		validWord(p.Version, "._+-~^:")
}

func validWord(s, marks string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return s != "" && len(s) <= 256 && s[0] != '-' && strings.Trim(s, letters+marks) == ""
}

// Compare orders two versions as rpm does: negative if a is older than b.
func Compare(a, b string) int {
	ea, va, ra := parts(a)
	eb, vb, rb := parts(b)
	if c := compareWords(ea, eb); c != 0 {
		return c
	}
	if c := compareWords(va, vb); c != 0 || ra == "" || rb == "" {
		return c
	}
	return compareWords(ra, rb)
}

func parts(v string) (epoch, version, release string) {
	epoch, version, ok := strings.Cut(v, ":")
	if !ok {
		epoch, version = "0", v
	}
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		version, release = version[:i], version[i+1:]
	}
	return epoch, version, release
}

// compareWords compares two versions or releases run by run: numbers by their
// value, letters by their code, a number is newer than letters. A tilde is older
// than the end, a caret newer than the end and older than all else.
func compareWords(a, b string) int {
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		if c, over := compareMark(a, b, '~'); over {
			return c
		} else if c == both {
			a, b = a[1:], b[1:]
			continue
		}
		if c, over := compareMark(a, b, '^'); over {
			return c
		} else if c == both {
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		kind := isLetter
		if isDigit(rune(a[0])) {
			kind = isDigit
		}
		runA, runB := leading(a, kind), leading(b, kind)
		if runB == "" { // of another kind
			if isDigit(rune(a[0])) {
				return 1
			}
			return -1
		}
		if c := compareRuns(runA, runB, isDigit(rune(a[0]))); c != 0 {
			return c
		}
		a, b = a[len(runA):], b[len(runB):]
	}
	return cmp.Compare(min(len(a), 1), min(len(b), 1))
}

// both says that both versions go on with the mark.
const both = 2

// compareMark compares where one of two versions goes on with a mark.
func compareMark(a, b string, mark byte) (c int, over bool) {
	inA, inB := a != "" && a[0] == mark, b != "" && b[0] == mark
	switch {
	case inA && inB:
		return both, false
	case !inA && !inB:
		return 0, false
	case mark == '^' && a == "":
		return -1, true // the end is older than a caret
	case mark == '^' && b == "":
		return 1, true
	case inA:
		return -1, true
	}
	return 1, true
}

func compareRuns(a, b string, numbers bool) int {
	if numbers {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if c := cmp.Compare(len(a), len(b)); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

func leading(s string, kind func(rune) bool) string {
	return s[:len(s)-len(strings.TrimLeftFunc(s, kind))]
}

func isDigit(r rune) bool  { return r >= '0' && r <= '9' }
func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func separates(r rune) bool { return !isDigit(r) && !isLetter(r) && r != '~' && r != '^' }
