package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"upkeep/client"
)

func TestTableAlignsByDisplayWidth(t *testing.T) {
	tab := newTable("NAME", "EMPTY", "STATE", "TEXT")
	tab.add("web-1", "", "\x1b[32m✓ done\x1b[0m", "ends")
	tab.add("データ", "", "○ waiting", "")      // three wide characters
	tab.add("e\u0301te\u0301", "", "x", "y") // accents that take no column
	var b bytes.Buffer
	tab.dropEmpty().print(&b, "> ")
	want := "" +
		"> NAME    STATE      TEXT\n" +
		"> web-1   \x1b[32m✓ done\x1b[0m     ends\n" +
		"> データ  ○ waiting\n" +
		"> e\u0301te\u0301     x          y\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWidths(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "✓": 1, "日本": 4, "e\u0301": 1, "\x1b[31mab\x1b[0m": 2, "🙂": 2, "ﬁ": 1, "\u200b": 0,
	} {
		if got := displayWidth(text); got != want {
			t.Errorf("displayWidth(%q) = %d, want %d", text, got, want)
		}
	}
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"short", 10, "short"}, {"exactly10!", 11, "exactly10!"}, {"longer than this", 8, "longer…"},
		{"日本日本日本", 8, "日本日…"}, {"\x1b[31mlonger than this\x1b[0m", 8, "\x1b[31mlonger…\x1b[0m"},
	} {
		got := clip(c.text, c.columns)
		if got != c.want || displayWidth(got) >= c.columns {
			t.Errorf("clip(%q, %d) = %q (%d wide), want %q", c.text, c.columns, got, displayWidth(got), c.want)
		}
	}
}

func TestStrangersTextsAreHarmless(t *testing.T) {
	const bad = "a\x1b[2Jb\u009bc\u202ed\nnext\x00\xff"
	if got, want := clean(bad), "a·[2Jb·c·d next··"; got != want {
		t.Errorf("clean: %q, want %q", got, want)
	}
	if got, want := oneLine(" two\n  lines "), "two lines"; got != want {
		t.Errorf("oneLine: %q, want %q", got, want)
	}
}

func TestTimesInWords(t *testing.T) {
	now := time.Date(2026, 11, 21, 13, 40, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", 900 * time.Millisecond: "just now", -time.Millisecond: "just now", time.Second: "1 second ago",
		59 * time.Second: "59 seconds ago", time.Minute: "1 minute ago", 3*time.Minute + 59*time.Second: "3 minutes ago",
		time.Hour: "1 hour ago", 47 * time.Hour: "47 hours ago", 48 * time.Hour: "2 days ago", -90 * time.Minute: "in 1 hour",
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "never" {
		t.Errorf("ago(never) = %q", got)
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 12 * time.Second: "12s", time.Minute: "1m", 3*time.Minute + 5*time.Second: "3m05s", 59*time.Minute + 59*time.Second + 600*time.Millisecond: "1h",
		2*time.Hour + 10*time.Minute: "2h10m", 48 * time.Hour: "2d", 76 * time.Hour: "3d4h",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSpanNamesTheZoneTwiceOnlyWhereClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		start time.Time
		want  string
	}{
		{time.Date(2026, 11, 21, 13, 40, 0, 0, berlin), "starts Sat 2026-11-21 13:40, ends 15:40 CET"},
		{time.Date(2026, 11, 21, 23, 0, 0, 0, berlin), "starts Sat 2026-11-21 23:00, ends Sun 01:00 CET"},
		{time.Date(2026, 3, 29, 1, 30, 0, 0, berlin), "starts Sun 2026-03-29 01:30 CET, ends 04:30 CEST"},
		{time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), "starts Sun 2026-10-25 02:30 CEST, ends 03:30 CET"},
	} {
		if got := span(c.start, c.start.Add(2*time.Hour), berlin); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitOK: nil, exitFailed: errors.New("x"), exitUsage: usagef("x"),
		exitNotFound: &client.Problem{Kind: client.KindNotFound}, exitDenied: fmt.Errorf("a: %w", &client.Problem{Kind: client.KindDenied}),
		exitConflict: &client.Problem{Kind: client.KindConflict}, exitUnavailable: &client.Problem{Kind: client.KindLimited},
		exitInvalid: &client.Problem{Kind: client.KindInvalid}, exitTimeout: fmt.Errorf("a: %w", context.DeadlineExceeded), exitInterrupted: context.Canceled,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("exitCode(%v) = %d, want %d", err, got, want)
		}
	}
	for _, kind := range []string{client.KindInternal, "a kind that comes later"} {
		if got := exitCode(&client.Problem{Kind: kind}); got != exitFailed {
			t.Errorf("exitCode(%s) = %d", kind, got)
		}
	}
}

// TestHelpTellsEveryExitCode keeps the help and the manual from missing one.
func TestHelpTellsEveryExitCode(t *testing.T) {
	manual, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{
		exitOK, exitFailed, exitUsage, exitNotFound, exitDenied, exitConflict, exitUnavailable, exitInvalid,
		exitRunFailed, exitRunAborted, exitForecast, exitRunHalted, exitTimeout, exitInterrupted,
	} {
		if !strings.Contains(exitCodesHelp, fmt.Sprintf("\n%5d  ", code)) {
			t.Errorf("\"upkeep help exit-codes\" does not tell %d", code)
		}
		if !strings.Contains(string(manual), fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("docs/cli.md does not tell %d", code)
		}
	}
}

// TestManualTellsEverything keeps commands, flags and YAML keys from being
// added without a word in the manual.
func TestManualTellsEverything(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	a := &app{getenv: func(string) string { return "" }, now: time.Now, local: time.UTC}
	for _, c := range a.root(nil).Commands() {
		if !c.Hidden && c.Runnable() && !strings.Contains(manual, "upkeep "+c.Name()) {
			t.Errorf("docs/cli.md does not tell of \"upkeep %s\"", c.Name())
		}
	}
	for kind, k := range kinds {
		for _, key := range keysOf(k.make()) {
			if !strings.Contains(manual, "`"+key+"`") {
				t.Errorf("docs/cli.md does not tell of %s's key %s", kind, key)
			}
			if !strings.Contains(filesHelp, key+":") {
				t.Errorf("\"upkeep help files\" does not tell of %s's key %s", kind, key)
			}
		}
	}
	guide, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[policyDoc]().Fields() {
		key := f.Tag.Get("yaml")
		if !strings.Contains(string(guide), "`"+key+"`") {
			t.Errorf("docs/policies.md does not tell of %s", key)
		}
		if !strings.Contains(manual, "`policy."+key+"`") || !strings.Contains(filesHelp, "\n    "+key+":") {
			t.Errorf("docs/cli.md or \"upkeep help files\" does not tell of the policy's key %s", key)
		}
	}
	for _, name := range []string{"UPKEEP_SERVER", "UPKEEP_TOKEN", "UPKEEP_TOKEN_FILE", "UPKEEP_CA", "UPKEEP_PROJECT", "UPKEEP_CONFIG", "NO_COLOR"} {
		if !strings.Contains(manual, name) || !strings.Contains(connectionHelp, name) {
			t.Errorf("the manual or \"upkeep help connection\" does not tell of %s", name)
		}
	}
}

func TestSettingsPrecedence(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("server: https://file\ntokenFile: of-file\nca: ca.pem\nproject: p-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	a := &app{err: &bytes.Buffer{}, getenv: func(n string) string { return env[n] }}
	a.conn.config = file
	check := func(what string, want settings) {
		t.Helper()
		got, err := a.settings()
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
		}
	}
	check("file", settings{Server: "https://file", TokenFile: filepath.Join(dir, "of-file"), CA: filepath.Join(dir, "ca.pem"), Project: "p-file"})
	env["UPKEEP_TOKEN"], env["UPKEEP_CA"] = "of-env", "ca-env"
	check("environment over file", settings{Server: "https://file", Token: "of-env", CA: "ca-env", Project: "p-file"})
	a.conn.tokenFile, a.conn.project = "of-flag", "p-flag"
	check("flags over environment", settings{Server: "https://file", TokenFile: "of-flag", CA: "ca-env", Project: "p-flag"})
	a.conn.server, a.conn.tokenFile = "https://flag", ""
	check("another server, the environment's token", settings{Server: "https://flag", Token: "of-env", CA: "ca-env", Project: "p-flag"})
	delete(env, "UPKEEP_TOKEN")
	check("another server, not the file's token", settings{Server: "https://flag", CA: "ca-env", Project: "p-flag"})
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"plain-1.2:3": "plain-1.2:3", "": "''", "a b": "'a b'", "$(x)": "'$(x)'", "it's": `'it'\''s'`,
	} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
	}
}

func TestRoffIsSafe(t *testing.T) {
	if got, want := roff(".so /etc/passwd\n'x\\a-b"), "\\&.so /etc/passwd\n\\&'x\\ea\\-b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
