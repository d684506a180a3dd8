//go:build e2e

package window

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write dateutil's answers in testdata anew")

const (
	dateutilSeed  = 11 // fixed, for docs/windows.md has the numbers
	dateutilRules = 5000

	goldenSamples = 300
	goldenOfEach  = 5 // of each kind of difference, if there are as many
)

// TestDateutil compares thousands of random rules. Which differences it finds,
// and in how many rules, docs/windows.md says.
func TestDateutil(t *testing.T) {
	ask := dateutil(t)
	g := generator{rand.New(rand.NewPCG(dateutilSeed, 0))}
	var samples []sample
	found, taken, refused := map[string]int{}, map[string]int{}, 0
	for accepted := 0; accepted < dateutilRules; {
		s := g.sample()
		s.Answer = ask(t, s.question())
		kinds, err := s.compare()
		if err != nil {
			t.Errorf("%s\nafter %s: %v", s.Text, s.After, err)
		}
		for _, kind := range kinds {
			found[kind]++
			if s.Answer.Error == "" {
				taken[kind]++
			}
		}
		if s.Refused == "" {
			accepted++
		} else {
			refused++
		}
		samples = append(samples, s)
	}
	t.Logf("%d rules accepted, %d refused", dateutilRules, refused)
	documented := documentedKinds(t)
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%6d %s (dateutil takes %d)", found[kind], kind, taken[kind])
		if !documented[kind] {
			t.Errorf("docs/windows.md does not explain %q", kind)
		}
	}
	if *update {
		writeGolden(t, samples)
	}
}

// question is what dateutil is to be asked about s.
func (s sample) question() map[string]any {
	q := map[string]any{"text": writtenOut(s.Text), "ask": "starts"}
	if s.Refused != "" {
		q["text"], q["ask"] = s.Text, "accepts"
		if _, err := ParseRRule(s.Text); err != nil {
			if kind, _ := refusalKind(err); kind.never {
				q["ask"] = "never"
			}
		}
		return q
	}
	q["after"], q["n"], q["last_year"] = s.After, startsEach, s.lastYear()+1
	if mixesDays(s.Text) {
		q["as_written"] = s.Text
	}
	return q
}

// dateutil starts python-dateutil, as Debian packages it, and returns how to ask it.
func dateutil(t testing.TB) func(t testing.TB, question map[string]any) *answer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-I", "testdata/dateutil.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; \"make setup\" installs what is missing", err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	answers := json.NewDecoder(bufio.NewReader(out))
	questions := json.NewEncoder(in)
	return func(t testing.TB, question map[string]any) *answer {
		t.Helper()
		if err := questions.Encode(question); err != nil {
			t.Fatal(err)
		}
		a := new(answer)
		if err := answers.Decode(a); err != nil {
			t.Fatalf("%v: %v", question, err)
		}
		return a
	}
}

// writeGolden writes down some samples of each kind of difference, and then some
// of those in which there is none.
func writeGolden(t *testing.T, samples []sample) {
	t.Helper()
	// What is over is known for good: for the future, governments change their
	// minds. But some differences show only there.
	slices.SortStableFunc(samples, func(a, b sample) int { return boolInt(b.over()) - boolInt(a.over()) })
	count := map[string]int{}
	var golden, plain []sample
	for _, s := range samples {
		kinds, err := s.compare()
		if err != nil {
			t.Fatal(err)
		}
		wanted := false
		for _, kind := range kinds {
			wanted = wanted || count[kind] < goldenOfEach
			count[kind]++
		}
		switch {
		case wanted:
			golden = append(golden, s)
		case s.over():
			plain = append(plain, s)
		}
	}
	golden = append(golden, plain...)[:goldenSamples]
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for _, s := range golden {
		if err := lines.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(goldenFile, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// over reports whether s is about the past alone.
func (s sample) over() bool {
	const today = "20240101"
	for _, at := range slices.Concat(s.Answer.Floating, s.Answer.AsWritten, []string{s.After}) {
		if at > today {
			return false
		}
	}
	return true
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// BenchmarkNextDateutil asks dateutil what BenchmarkNext asks us. Its time is
// taken by Python, around the searches alone.
func BenchmarkNextDateutil(b *testing.B) {
	ask := dateutil(b)
	eachNext(func(name, text string, now time.Time) {
		b.Run(fmt.Sprintf("%s/dateutil", name), func(b *testing.B) {
			a := ask(b, map[string]any{"ask": "bench", "text": text, "after": now.Format(stampForm + "Z"), "n": b.N})
			b.ReportMetric(float64(a.Nanoseconds)/float64(b.N), "ns/op")
		})
	})
}
