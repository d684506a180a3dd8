package stackit

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxPrefix is how many segments a client's endpoint may have before our paths.
const maxPrefix = 8

// Serves reports whether a request's path, as it was escaped, is for this door.
func Serves(escaped string) bool {
	_, ok := locate(escaped)
	return ok
}

// locate cuts a path into its segments, still escaped, from where it begins to
// be ours. A prefix does not begin with v1: what is there and not ours is the
// native door's.
func locate(escaped string) (segments []string, ok bool) {
	segments = strings.Split(escaped, "/")
	for len(segments) > 0 && segments[0] == "" {
		segments = segments[1:]
	}
	switch {
	case len(segments) == 0:
		return nil, false
	case segments[0] == "v2" || begins(segments):
		return segments, true
	case segments[0] == "v1":
		return nil, false
	}
	for i := range min(len(segments), maxPrefix+1) {
		if begins(segments[i:]) {
			return segments[i:], true
		}
	}
	return nil, false
}

func begins(segments []string) bool {
	if len(segments) < 2 {
		return false
	}
	switch segments[0] + "/" + segments[1] {
	case "v2/projects", "v1/projects", "v1/service-instances":
		return true
	}
	return false
}

// values are the parts of a path that a request fills in, by their names.
type values map[string]string

// match fills a pattern's parts, such as {serverId}, from a path's segments.
func match(pattern, segments []string) (values, bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	found := values{}
	for i, part := range pattern {
		name, variable := strings.CutPrefix(part, "{")
		if !variable {
			if part != segments[i] {
				return nil, false
			}
			continue
		}
		text, err := url.PathUnescape(segments[i])
		if err != nil || text == "" || !readable(text) {
			return nil, false
		}
		found[strings.TrimSuffix(name, "}")] = text
	}
	return found, true
}

// readable tells text that a database can hold.
func readable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
