package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"golang.org/x/term"
	"golang.org/x/text/width"

	"upkeep/client"
)

// terminal is what is known of where output goes.
type terminal struct {
	is     bool // a person's terminal, not a pipe or file
	colour bool
	fd     int
}

// terminalOf looks at w. NO_COLOR (no-color.org) and TERM=dumb are respected.
func terminalOf(w io.Writer, getenv func(string) string) terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return terminal{}
	}
	dumb := getenv("TERM") == "dumb"
	return terminal{is: !dumb, colour: !dumb && getenv("NO_COLOR") == "", fd: int(f.Fd())}
}

// size is how many columns and lines there are now.
func (t terminal) size() (columns, lines int) {
	if columns, lines, err := term.GetSize(t.fd); err == nil && columns > 0 && lines > 0 {
		return columns, lines
	}
	return 80, 24
}

// show prints a document of the API as it is, or tells it to a person.
func (a *app) show(doc any, human func(w io.Writer)) error {
	if a.format != "table" {
		return a.document(doc, true)
	}
	// Whole or not at all: half a table is worse than an error.
	var b bytes.Buffer
	human(&b)
	_, err := a.out.Write(b.Bytes())
	return err
}

// listed shows a list of the API as a table, or tells a person that it is empty.
func listed[T any](a *app, all any, items []T, nothing string, rows func([]T) *table) error {
	if len(items) == 0 && a.format == "table" {
		a.note(nothing)
		return nil
	}
	return a.show(all, func(w io.Writer) { rows(items).print(w, "") })
}

// document writes a document as JSON or YAML. One of several is on a line of
// its own in JSON, and behind a separator in YAML.
func (a *app) document(doc any, alone bool) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if alone && a.format == "json" {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(doc); err != nil {
		return err
	}
	text := b.Bytes()
	if a.format == "yaml" {
		var err error
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
		if !alone {
			text = append([]byte("---\n"), text...)
		}
	}
	_, err := a.out.Write(text)
	return err
}

// table is rows under a head, as wide as they need to be.
type table struct {
	head []string
	rows [][]string
}

func newTable(head ...string) *table { return &table{head: head} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// dropEmpty leaves out every column in which no row says anything.
func (t *table) dropEmpty() *table {
	for col := range slices.Backward(t.head) {
		said := false
		for _, row := range t.rows {
			said = said || row[col] != ""
		}
		if said || len(t.rows) == 0 {
			continue
		}
		t.head = append(t.head[:col:col], t.head[col+1:]...)
		for i, row := range t.rows {
			t.rows[i] = append(row[:col:col], row[col+1:]...)
		}
	}
	return t
}

// print writes the table with two spaces between columns, each line after indent.
func (t *table) print(w io.Writer, indent string) {
	widths := make([]int, len(t.head))
	lines := append([][]string{t.head}, t.rows...)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], displayWidth(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		b.WriteString(indent)
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-displayWidth(cell)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// displayWidth is how many columns a text takes on a terminal; colours take none.
func displayWidth(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if skip := escapeLen(s[i:]); skip > 0 {
			i += skip
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
		i += size
	}
	return n
}

// escapeLen is the length of the colour sequence that s begins with; 0 if none.
func escapeLen(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}

// clean makes a text harmless that a host or a stranger wrote: what would move
// the cursor or change colours is shown, not done.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r):
			return '·'
		}
		return r
	}, s)
}

// oneLine is a text of an error as one harmless line.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// Colours, by their SGR numbers.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	bold   = "1"
	faint  = "2"
)

// paint colours a text, on terminals that want it.
func (a *app) paint(s, colour string) string {
	if !a.term.colour || s == "" || colour == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// marks are a glyph and a colour for each word of a state or stage; the word is
// always there too, for those who see no colour.
var marks = map[string]struct{ glyph, colour string }{
	"waiting":   {"○", yellow},
	"working":   {"▶", blue},
	"paused":    {"‖", yellow},
	"succeeded": {"✓", green},
	"failed":    {"✗", red},
	"aborted":   {"■", red},
	"todo":      {"○", faint},
	"running":   {"▶", blue},
	"done":      {"✓", green},
}

// mark is a state as glyph and word.
func (a *app) mark(word string) string {
	m, ok := marks[word]
	if !ok {
		return clean(word)
	}
	return a.paint(m.glyph+" "+word, m.colour)
}

func (a *app) state(s client.State) string { return a.mark(string(s)) }

// note tells a person something that is no part of the output.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// pairs prints names and values below each other; empty values are left out.
func pairs(w io.Writer, all ...string) {
	widest := 0
	for pair := range slices.Chunk(all, 2) {
		if pair[1] != "" {
			widest = max(widest, displayWidth(pair[0]))
		}
	}
	for pair := range slices.Chunk(all, 2) {
		if pair[1] != "" {
			fmt.Fprintf(w, "%s%s  %s\n", pair[0], strings.Repeat(" ", widest-displayWidth(pair[0])), pair[1])
		}
	}
}

// count says how many there are of a thing.
func count[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
