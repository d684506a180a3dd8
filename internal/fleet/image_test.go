package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
)

var day = time.Date(2026, time.November, 3, 9, 0, 0, 0, time.UTC)

// catalogue is what a store would hold, with the rules that must always hold of it.
type catalogue struct {
	t      *rapid.T
	images map[string]fleet.Image
	ids    []string
	now    time.Time
}

func (c *catalogue) all() []fleet.Image {
	var all []fleet.Image
	for _, id := range c.ids {
		all = append(all, c.images[id])
	}
	return all
}

// keep writes what a move has changed, and holds its facts to it.
func (c *catalogue) keep(changed []fleet.Image, facts []history.Fact) {
	kinds := map[fleet.ImageState]history.Kind{
		fleet.ImageReleased: history.ImageReleased, fleet.ImageActive: history.ImageActivated,
		fleet.ImageDeprecated: history.ImageDeprecated, fleet.ImageWithdrawn: history.ImageWithdrawn,
	}
	if len(changed) != len(facts) {
		c.t.Fatalf("%d images changed and %d facts", len(changed), len(facts))
	}
	for n, i := range changed {
		was, known := c.images[i.ID]
		if known && was.State == fleet.ImageWithdrawn {
			c.t.Fatalf("%s was withdrawn and changed to %s", i.Ref(), i.State)
		}
		if !known {
			c.ids = append(c.ids, i.ID)
		}
		f := facts[n]
		if f.Kind != kinds[i.State] || f.Project != i.Project || f.Who != "user/olga" || !f.At.Equal(c.now) ||
			!strings.HasPrefix(f.Text, fmt.Sprintf("image %s %s (%s) ", i.Channel, i.Version, i.Arch)) {
			c.t.Fatalf("%s is %s now, and the fact is %+v", i.Ref(), i.State, f)
		}
		c.images[i.ID] = i
		// At no moment, not even between two writes, are two active in a line.
		c.oneActive()
	}
}

func (c *catalogue) release(channel, arch, project string) {
	i := fleet.Image{ID: fmt.Sprintf("id-%d", len(c.ids)), Project: project, Channel: channel, Arch: arch, Version: fmt.Sprintf("2026.%d", len(c.ids))}
	made, facts, err := i.Release("user/olga", c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	c.keep([]fleet.Image{made}, facts)
}

func (c *catalogue) oneActive() {
	active := map[string]string{}
	for _, i := range c.all() {
		line := i.Project + "/" + i.Channel + "@" + i.Arch
		if i.State != fleet.ImageActive {
			continue
		}
		if active[line] != "" {
			c.t.Fatalf("%s and %s are active", active[line], i.Version)
		}
		active[line] = i.Version
	}
}

func (c *catalogue) check() {
	c.oneActive()
	for _, i := range c.all() {
		if i.State == fleet.ImageActive && (i.Successor != "" || i.Reason != "" || i.Activated.IsZero()) {
			c.t.Fatalf("an active image: %+v", i)
		}
		if i.State == fleet.ImageDeprecated && i.Successor == "" && i.Reason == "" {
			c.t.Fatalf("deprecated without a successor and without a reason: %+v", i)
		}
		if i.State == fleet.ImageWithdrawn && i.Reason == "" {
			c.t.Fatalf("withdrawn without a reason: %+v", i)
		}
		// Who goes from successor to successor comes to an end.
		at := i
		for steps := 0; at.Successor != ""; steps++ {
			next, ok := c.images[at.Successor]
			if !ok || next.Channel != i.Channel || next.Arch != i.Arch || next.Project != i.Project || steps > len(c.ids) {
				c.t.Fatalf("from %s the successors lead to %q after %d steps", i.Ref(), at.Successor, steps)
			}
			at = next
		}
	}
}

func TestImagesLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &catalogue{t: t, images: map[string]fleet.Image{}, now: day}
		c.release("debian-12", "", "")
		pick := func() fleet.Image { return c.images[rapid.SampledFrom(c.ids).Draw(t, "image")] }
		one := func(i fleet.Image, facts []history.Fact, err error) {
			switch {
			case err != nil:
				wantFault(t, err)
			case len(facts) > 0:
				c.keep([]fleet.Image{i}, facts)
			}
		}
		reason := rapid.SampledFrom([]string{"", "kernel panics", "end of life"})
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { c.now = c.now.Add(time.Hour); c.check() },
			"release": func(t *rapid.T) {
				c.release(rapid.SampledFrom([]string{"debian-12", "ubuntu-24.04"}).Draw(t, "channel"),
					rapid.SampledFrom([]string{"", "arm64"}).Draw(t, "arch"), rapid.SampledFrom([]string{"", "red"}).Draw(t, "project"))
			},
			"activate": func(t *rapid.T) {
				i := pick()
				changed, facts, err := i.Activate(c.all(), "user/olga", c.now)
				if (err != nil) != (i.State == fleet.ImageWithdrawn) {
					t.Fatalf("activate %s: %v", i.State, err)
				}
				c.keep(changed, facts)
				if err == nil && c.images[i.ID].State != fleet.ImageActive {
					t.Fatalf("activated, and it is %s", c.images[i.ID].State)
				}
				latest, ok := fleet.LatestActive(c.line(i), i.Channel, i.Arch)
				if err == nil && (!ok || latest.ID != i.ID) {
					t.Fatalf("activated %s, and the latest is %s", i.Ref(), latest.Ref())
				}
			},
			"deprecate": func(t *rapid.T) { one(pick().Deprecate(pick(), reason.Draw(t, "reason"), "user/olga", c.now)) },
			"deprecate without a successor": func(t *rapid.T) {
				one(pick().Deprecate(fleet.Image{}, reason.Draw(t, "reason"), "user/olga", c.now))
			},
			"withdraw": func(t *rapid.T) { one(pick().Withdraw(reason.Draw(t, "reason"), "user/olga", c.now)) },
		})
	})
}

// line is the images of i's owner and channel.
func (c *catalogue) line(i fleet.Image) []fleet.Image {
	var all []fleet.Image
	for _, o := range c.all() {
		if o.Project == i.Project {
			all = append(all, o)
		}
	}
	return all
}

func wantFault(t *rapid.T, err error) {
	if !fault.Is(err, fault.KindConflict) && !fault.Is(err, fault.KindInvalid) {
		t.Fatalf("refused with %v", err)
	}
}

func image(id, version string, state fleet.ImageState) fleet.Image {
	i := fleet.Image{ID: id, Channel: "debian-12", Arch: "amd64", Version: version, State: state, Released: day}
	if state == fleet.ImageWithdrawn {
		i.Reason = "broken"
	}
	return i
}

// Every refusal says what is wrong in words that a person can act on.
func TestImageRefusals(t *testing.T) {
	active, old, gone := image("a", "2026.11", fleet.ImageActive), image("o", "2026.10", fleet.ImageDeprecated), image("g", "2026.09", fleet.ImageWithdrawn)
	released := image("r", "2026.12", fleet.ImageReleased)
	arm := active
	arm.ID, arm.Arch = "arm", "arm64"
	theirs := active
	theirs.ID, theirs.Project = "theirs", "red"
	none := fleet.Image{}
	deprecate := func(i, successor fleet.Image, reason string) error {
		_, facts, err := i.Deprecate(successor, reason, "user/olga", day)
		if len(facts) != 0 {
			t.Error("a refusal leaves facts")
		}
		return err
	}
	withdraw := func(i fleet.Image, reason string) error {
		_, _, err := i.Withdraw(reason, "user/olga", day)
		return err
	}
	_, _, activateGone := gone.Activate(nil, "user/olga", day)
	long := strings.Repeat("x", fleet.MaxReasonBytes+1)
	for _, c := range []struct {
		name  string
		err   error
		kind  fault.Kind
		field string
		says  string
	}{
		{"activate what was withdrawn", activateGone, fault.KindConflict, "", "was withdrawn (broken) and can't become active again"},
		{"no successor, no reason", deprecate(released, none, " "), fault.KindInvalid, "successor", "or give a reason"},
		{"its own successor", deprecate(active, active, ""), fault.KindInvalid, "successor", "its own successor"},
		{"another architecture", deprecate(old, arm, ""), fault.KindInvalid, "successor", "not of the same channel"},
		{"another owner", deprecate(old, theirs, ""), fault.KindInvalid, "successor", "not of the same channel"},
		{"a successor that is not active", deprecate(old, released, ""), fault.KindConflict, "", "is released and can't be a successor: activate it first"},
		{"deprecate what was withdrawn", deprecate(gone, active, ""), fault.KindConflict, "", "was withdrawn already (broken)"},
		{"a long reason", deprecate(active, none, long), fault.KindInvalid, "reason", "at most 1024"},
		{"withdraw without a reason", withdraw(active, " "), fault.KindInvalid, "reason", "people whose servers run it"},
		{"withdraw for too long a reason", withdraw(active, long), fault.KindInvalid, "reason", "1 to 1024"},
		{"withdraw for another reason", withdraw(gone, "slow"), fault.KindConflict, "", "was withdrawn already (broken)"},
	} {
		f, _ := c.err.(*fault.Error) //nolint:errorlint // not wrapped
		if f == nil || f.Kind != c.kind || f.Field != c.field || !strings.Contains(f.Reason, c.says) {
			t.Errorf("%s: %v; want %s of %q that says %q", c.name, c.err, c.kind, c.field, c.says)
		}
	}
}

// What is so already is no news.
func TestImageMovesAreRepeated(t *testing.T) {
	a, old, gone := image("a", "2026.11", fleet.ImageActive), image("o", "2026.10", fleet.ImageReleased), image("g", "2026.09", fleet.ImageWithdrawn)
	if changed, facts, err := a.Activate([]fleet.Image{a}, "w", day); err != nil || len(changed)+len(facts) != 0 {
		t.Errorf("activated twice: %v %v %v", changed, facts, err)
	}
	old, facts, err := old.Deprecate(a, "", "w", day)
	if err != nil || len(facts) != 1 || !strings.HasSuffix(facts[0].Text, "deprecated: use 2026.11") {
		t.Fatalf("deprecated: %v, %v", facts, err)
	}
	if _, facts, err := old.Deprecate(a, "", "w", day); err != nil || len(facts) != 0 {
		t.Errorf("deprecated twice: %v, %v", facts, err)
	}
	if _, facts, err := gone.Withdraw("broken", "w", day); err != nil || len(facts) != 0 {
		t.Errorf("withdrawn twice: %v, %v", facts, err)
	}
	back, facts, err := old.Activate([]fleet.Image{a, old}, "w", day)
	if err != nil || len(back) != 2 || back[0].ID != "a" || back[0].Successor != "o" || back[1].State != fleet.ImageActive || !back[1].Deprecated.IsZero() || len(facts) != 2 {
		t.Errorf("back from a bad release: %+v, %v, %v", back, facts, err)
	}
	if _, facts, _ := a.Withdraw("CVE", "w", day); len(facts) != 1 || !strings.Contains(facts[0].Text, "withdrawn: CVE; the channel has no active image now") {
		t.Errorf("the active one withdrawn: %v", facts)
	}
}

func TestImageFields(t *testing.T) {
	good := fleet.Image{Channel: "debian-12", Version: "20261101-2280", Details: fleet.ImageDetails{
		Checksum: "sha256:" + strings.Repeat("a", 64), Source: "https://images.example.net/d12.qcow2", MinDiskGB: 10, MinRAMMB: 512, Notes: "new kernel",
	}}
	made, _, err := good.Release("w", day)
	if err != nil || made.Arch != "amd64" || made.Details.DiskFormat != "qcow2" || made.State != fleet.ImageReleased || !made.Released.Equal(day) {
		t.Fatalf("%+v, %v", made, err)
	}
	for _, c := range []struct {
		field  string
		change func(*fleet.Image)
	}{
		{"channel", func(i *fleet.Image) { i.Channel = "Debian 12" }},
		{"channel", func(i *fleet.Image) { i.Channel = "none" }},
		{"channel", func(i *fleet.Image) { i.Channel = "" }},
		{"arch", func(i *fleet.Image) { i.Arch = "a-b" }},
		{"version", func(i *fleet.Image) { i.Version = "" }},
		{"version", func(i *fleet.Image) { i.Version = "1:2" }},
		{"project", func(i *fleet.Image) { i.Project = "a b" }},
		{"name", func(i *fleet.Image) { i.Details.Name = strings.Repeat("x", 257) }},
		{"distro", func(i *fleet.Image) { i.Details.Distro = strings.Repeat("x", 257) }},
		{"osVersion", func(i *fleet.Image) { i.Details.OSVersion = strings.Repeat("x", 257) }},
		{"notes", func(i *fleet.Image) { i.Details.Notes = strings.Repeat("x", 4097) }},
		{"diskFormat", func(i *fleet.Image) { i.Details.DiskFormat = "floppy" }},
		{"minDiskGB", func(i *fleet.Image) { i.Details.MinDiskGB = -1 }},
		{"minRAMMB", func(i *fleet.Image) { i.Details.MinRAMMB = 1 << 30 }},
		{"checksum", func(i *fleet.Image) { i.Details.Checksum = "md5:abc" }},
		{"source", func(i *fleet.Image) { i.Details.Source = "/srv/images" }},
		{"source", func(i *fleet.Image) { i.Details.Source = "https://me:secret@images.example.net/x" }},
		{"source", func(i *fleet.Image) { i.Details.Source = "javascript:alert(1)" }},
	} {
		bad := good
		c.change(&bad)
		_, _, err := bad.Release("w", day)
		if f, _ := err.(*fault.Error); f == nil || f.Kind != fault.KindInvalid || f.Field != c.field { //nolint:errorlint // not wrapped
			t.Errorf("%+v: want %s blamed, got %v", bad, c.field, err)
		}
	}
}

func TestLatestActive(t *testing.T) {
	public, old := image("p", "2026.11", fleet.ImageActive), image("o", "2026.10", fleet.ImageDeprecated)
	own := image("own", "1", fleet.ImageActive)
	own.Project = "red"
	if got, ok := fleet.LatestActive([]fleet.Image{old, public}, "debian-12", "amd64"); !ok || got.ID != "p" {
		t.Errorf("got %+v", got)
	}
	for _, all := range [][]fleet.Image{{own, public}, {public, own}} {
		if got, _ := fleet.LatestActive(all, "debian-12", "amd64"); got.ID != "own" {
			t.Errorf("a project's own channel does not hide the platform's: %+v", got)
		}
	}
	own.State = fleet.ImageReleased
	if got, _ := fleet.LatestActive([]fleet.Image{own, public}, "debian-12", "amd64"); got.ID != "p" {
		t.Errorf("an own channel without an active image hides the platform's: %+v", got)
	}
	if got, ok := fleet.LatestActive([]fleet.Image{old, public}, "debian-12", "arm64"); ok {
		t.Errorf("for another architecture: %+v", got)
	}
}

func TestOutdated(t *testing.T) {
	active := image("a", "2026.11", fleet.ImageActive)
	passedOver, coming := image("x", "2026.10", fleet.ImageReleased), image("y", "2026.12", fleet.ImageReleased)
	passedOver.Released, coming.Released = day.AddDate(0, -1, 0), day.AddDate(0, 1, 0)
	for _, c := range []struct {
		image  fleet.Image
		active fleet.Image
		want   bool
	}{
		{active, active, false}, {coming, active, false}, {passedOver, active, true}, {passedOver, fleet.Image{}, false},
		{image("d", "1", fleet.ImageDeprecated), fleet.Image{}, true}, {image("w", "1", fleet.ImageWithdrawn), active, true},
	} {
		if got := c.image.Outdated(c.active); got != c.want {
			t.Errorf("%s, released on %v: outdated %v", c.image.State, c.image.Released, got)
		}
	}
}

func TestImageRefs(t *testing.T) {
	i := image("a", "2026.11", fleet.ImageActive)
	for text, match := range map[string]bool{
		"debian-12": true, "debian-12@amd64": true, "debian-12@arm64": false, "debian-12:2026.11": true,
		"debian-12:2026.11@amd64": true, "debian-12:2026.10": false, "debian-11": false, i.Ref(): true,
	} {
		r, err := fleet.ParseImageRef("image", text)
		if err != nil || r.Match(i) != match {
			t.Errorf("%s is %+v, %v; matches: %v", text, r, err, r.Match(i))
		}
	}
	old := image("o", "2026.10", fleet.ImageDeprecated)
	if r, _ := fleet.ParseImageRef("image", "debian-12"); r.Match(old) {
		t.Error("a channel means an image that is not active")
	}
	for _, text := range []string{"", "none", "Debian 12", ":1", "debian-12:", "debian-12@", "debian-12:1@", "debian-12@a:b", "debian-12:1:2"} {
		if r, err := fleet.ParseImageRef("image", text); !fault.Is(err, fault.KindInvalid) || !strings.HasPrefix(err.Error(), "image: ") {
			t.Errorf("%q is read as %+v, %v", text, r, err)
		}
	}
}

func TestDue(t *testing.T) {
	date := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		cadence    fleet.Cadence
		last, want string
	}{
		{fleet.Monthly, "2026-11-03", "2027-01-01"}, {fleet.Monthly, "2026-11-30", "2027-01-01"}, {fleet.Monthly, "2026-12-31", "2027-02-01"},
		{fleet.Monthly, "2026-01-31", "2026-03-01"}, {fleet.Quarterly, "2026-11-03", "2027-04-01"}, {fleet.Quarterly, "2026-03-31", "2026-07-01"},
	} {
		if got := c.cadence.Due(date(c.last)); !got.Equal(date(c.want)) {
			t.Errorf("%s after %s: due by %v", c.cadence, c.last, got)
		}
	}
	if !fleet.AsNeeded.Due(day).IsZero() || !fleet.Monthly.Due(time.Time{}).IsZero() {
		t.Error("something is due where nothing is")
	}
	// However late in its month a release is, the next one has the whole next month.
	rapid.Check(t, func(t *rapid.T) {
		last := day.Add(time.Duration(rapid.Int64Range(0, 40*365*24).Draw(t, "hours")) * time.Hour)
		due := fleet.Monthly.Due(last)
		if left := due.Sub(last); left < 28*24*time.Hour || left > 62*24*time.Hour || due.Day() != 1 {
			t.Fatalf("after %v due by %v", last, due)
		}
	})
}

func TestLines(t *testing.T) {
	debian := fleet.Channel{Name: "debian-12", Cadence: fleet.Monthly}
	older, newer, bad, arm := image("o", "2026.10", fleet.ImageDeprecated), image("n", "2026.11", fleet.ImageActive), image("b", "2026.12", fleet.ImageWithdrawn), image("m", "2026.11", fleet.ImageReleased)
	older.Released, bad.Released, arm.Arch = day.AddDate(0, -1, 0), day.AddDate(0, 1, 0), "arm64"
	own := debian
	own.Project = "red"
	lines := fleet.Lines([]fleet.Channel{own, debian}, []fleet.Image{older, bad, arm, newer}, date2027())
	if len(lines) != 3 || lines[0].Channel.Project != "red" || lines[0].Arch != "" || lines[1].Arch != "amd64" || lines[2].Arch != "arm64" {
		t.Fatalf("lines %+v", lines)
	}
	l := lines[1]
	if len(l.Images) != 3 || l.Images[0].ID != "b" || l.Images[2].ID != "o" {
		t.Errorf("the newest is not first: %+v", l.Images)
	}
	if a, ok := l.Active(); !ok || a.ID != "n" {
		t.Errorf("active: %+v", a)
	}
	// The withdrawn one does not count as December's release.
	if !l.Due.Equal(date2027()) || !l.Overdue {
		t.Errorf("due by %v, overdue: %v", l.Due, l.Overdue)
	}
	if before := fleet.Lines([]fleet.Channel{debian}, []fleet.Image{newer}, date2027().Add(-1)); before[0].Overdue {
		t.Error("overdue before its time")
	}
	if a, ok := lines[0].Active(); ok || !lines[0].Due.IsZero() {
		t.Errorf("a channel without images has %+v, due by %v", a, lines[0].Due)
	}
}

func date2027() time.Time { return time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC) }

func TestChannelFields(t *testing.T) {
	for field, c := range map[string]fleet.Channel{
		"channel":     {Name: "Debian", Cadence: fleet.Monthly},
		"project":     {Name: "debian", Project: "a b", Cadence: fleet.Monthly},
		"cadence":     {Name: "debian", Cadence: "hourly"},
		"description": {Name: "debian", Cadence: fleet.Monthly, Description: strings.Repeat("x", 1025)},
	} {
		if f, _ := c.Validate().(*fault.Error); f == nil || f.Field != field { //nolint:errorlint // not wrapped
			t.Errorf("%+v: %v", c, f)
		}
	}
	if err := (fleet.Channel{Name: "debian-12", Cadence: fleet.AsNeeded}).Validate(); err != nil {
		t.Error(err)
	}
}
