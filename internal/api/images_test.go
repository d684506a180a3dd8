package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/identity"
	"upkeep/internal/store"
)

// release makes one of the platform's images, or of a project's.
func (h *house) release(project, channel, version, arch string) *client.Image {
	h.t.Helper()
	i, err := h.operator.ReleaseImage(h.t.Context(), client.ImageInput{Project: project, Channel: channel, Version: version, Arch: arch}, nil)
	h.must(err)
	return i
}

func (h *house) activate(id string) *client.Image {
	h.t.Helper()
	i, err := h.operator.ActivateImage(h.t.Context(), id, nil)
	h.must(err)
	return i
}

// on says which image a server is made from.
func (h *house) on(project, name, image string) *client.Server {
	h.t.Helper()
	s, err := h.operator.PutServer(h.t.Context(), name, client.ServerInput{Image: image}, &client.PutServerParams{Project: project})
	h.must(err)
	return s
}

func refs(all []client.Image) string {
	var names []string
	for _, i := range all {
		names = append(names, i.Ref)
	}
	return strings.Join(names, " ")
}

func TestImages(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := client.ImageInput{
		Channel: "debian-12", Version: "2026.10", Name: "Debian 12", Distro: "debian", OSVersion: "12", DiskFormat: "raw", MinDiskGB: 10, MinRAMMB: 512,
		Checksum: "sha256:" + strings.Repeat("0", 64), Source: "https://images.example.net/d12.raw", Notes: "kernel 6.1.0-28",
	}
	october, err := h.operator.ReleaseImage(ctx, in, nil)
	h.must(err)
	i := october
	if i.Project != "" || i.Channel != "debian-12" || i.Arch != "amd64" || i.Ref != "debian-12:2026.10@amd64" || i.State != client.ImageStateReleased || i.Outdated ||
		i.Name != in.Name || i.Distro != "debian" || i.OSVersion != "12" || i.DiskFormat != "raw" || i.MinDiskGB != 10 || i.MinRAMMB != 512 ||
		i.Checksum != in.Checksum || i.Source != in.Source || i.Notes != in.Notes || i.Revision != 1 || time.Since(i.Released) > time.Minute || !i.Activated.IsZero() {
		t.Errorf("released %+v", i)
	}
	if got := h.activate(october.ID); got.State != client.ImageStateActive || got.Activated.IsZero() || got.Revision != 2 {
		t.Errorf("activated %+v", got)
	}
	november := h.release("", "debian-12", "2026.11", "")
	if november.DiskFormat != "qcow2" {
		t.Errorf("a disk format by default: %+v", november)
	}
	arm := h.release("", "debian-12", "2026.11", "arm64")
	if got := h.activate("debian-12:2026.11@amd64"); got.ID != november.ID {
		t.Errorf("activated %+v", got)
	}
	old, err := h.viewer.GetImage(ctx, "debian-12:2026.10", nil)
	h.must(err)
	if old.ID != october.ID || old.State != client.ImageStateDeprecated || !old.Outdated || old.Successor == nil || old.Successor.Version != "2026.11" || old.Instead == nil || old.Instead.ID != november.ID || old.Deprecated.IsZero() {
		t.Errorf("what was active: %+v", old)
	}
	latest, err := h.viewer.LatestImage(ctx, "debian-12", nil)
	h.must(err)
	byName, err := h.viewer.GetImage(ctx, "debian-12", nil)
	h.must(err)
	byID, err := h.viewer.GetImage(ctx, november.ID, nil)
	h.must(err)
	if latest.ID != november.ID || byName.ID != november.ID || byID.ID != november.ID {
		t.Errorf("latest %s, by channel %s, by id %s", latest.Ref, byName.Ref, byID.Ref)
	}
	h.activate(arm.ID)
	if got, err := h.viewer.LatestImage(ctx, "debian-12", &client.LatestImageParams{Arch: "arm64"}); err != nil || got.ID != arm.ID {
		t.Errorf("for arm64: %+v, %v", got, err)
	}
	withdrawn, err := h.operator.WithdrawImage(ctx, november.ID, client.WithdrawInput{Reason: "panics"}, nil)
	h.must(err)
	if withdrawn.State != client.ImageStateWithdrawn || withdrawn.Reason != "panics" || withdrawn.Withdrawn.IsZero() || !withdrawn.Outdated {
		t.Errorf("withdrawn %+v", withdrawn)
	}
	if withdrawn.Instead != nil {
		t.Errorf("the channel has no active image, and instead one is to use %+v", withdrawn.Instead)
	}
	back := h.activate(october.ID)
	if back.State != client.ImageStateActive || back.Successor != nil || back.Instead != nil || !back.Deprecated.IsZero() {
		t.Errorf("back to the former one: %+v", back)
	}
	ended, err := h.operator.DeprecateImage(ctx, arm.ID, client.DeprecateInput{Reason: "no more arm64"}, nil)
	h.must(err)
	if ended.State != client.ImageStateDeprecated || ended.Reason != "no more arm64" || ended.Successor != nil {
		t.Errorf("deprecated %+v", ended)
	}
	newer := h.release("", "debian-12", "2026.12", "")
	skipped, err := h.operator.DeprecateImage(ctx, newer.ID, client.DeprecateInput{Successor: "debian-12"}, nil)
	if err != nil || skipped.Successor == nil || skipped.Successor.ID != october.ID {
		t.Errorf("deprecated for the channel's active one: %+v, %v", skipped, err)
	}
	checkImageFacts(t, h)
}

// checkImageFacts: each move is told, and only once.
func checkImageFacts(t *testing.T, h *house) {
	t.Helper()
	facts, err := h.operator.ListHistory(t.Context(), nil)
	h.must(err)
	var told []string
	for _, f := range facts.Items {
		if f.Who != "user/olga" || f.Project != "" {
			t.Errorf("fact %+v", f)
		}
		told = append(told, f.Kind+": "+f.Text)
	}
	want := []string{
		"channel.changed: channel debian-12 created, cadence monthly",
		"image.released: image debian-12 2026.10 (amd64) released",
		"image.activated: image debian-12 2026.10 (amd64) is active: new servers are made from it",
		"image.released: image debian-12 2026.11 (amd64) released",
		"image.released: image debian-12 2026.11 (arm64) released",
		"image.deprecated: image debian-12 2026.10 (amd64) deprecated: use 2026.11",
		"image.activated: image debian-12 2026.11 (amd64) is active: new servers are made from it",
		"image.activated: image debian-12 2026.11 (arm64) is active: new servers are made from it",
		"image.withdrawn: image debian-12 2026.11 (amd64) withdrawn: panics; the channel has no active image now",
		"image.activated: image debian-12 2026.10 (amd64) is active: new servers are made from it",
		"image.deprecated: image debian-12 2026.11 (arm64) deprecated: no more arm64",
		"image.released: image debian-12 2026.12 (amd64) released",
		"image.deprecated: image debian-12 2026.12 (amd64) deprecated: use 2026.10",
	}
	if !slices.Equal(told, want) {
		t.Errorf("the history says\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestImageLists(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.activate(h.release("", "debian-12", "1", "").ID)
	h.activate(h.release("", "debian-12", "2", "").ID)
	h.release("", "ubuntu-24.04", "1", "arm64")
	h.release("red", "golden", "1", "")
	h.release("blue", "secret", "1", "")
	for _, c := range []struct {
		name   string
		params client.ListImagesParams
		want   string
	}{
		{"all that red may see", client.ListImagesParams{}, "golden:1@amd64 ubuntu-24.04:1@arm64 debian-12:2@amd64 debian-12:1@amd64"},
		{"a channel's", client.ListImagesParams{Channel: "debian-12"}, "debian-12:2@amd64 debian-12:1@amd64"},
		{"old ones", client.ListImagesParams{State: client.ListImagesParamsStateDeprecated}, "debian-12:1@amd64"},
		{"an architecture's", client.ListImagesParams{Arch: "arm64"}, "ubuntu-24.04:1@arm64"},
		{"none", client.ListImagesParams{Channel: "secret"}, ""},
	} {
		l, err := h.viewer.ListImages(ctx, &c.params)
		h.must(err)
		if got := refs(l.Items); got != c.want || l.Items == nil {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	var paged []client.Image
	p := &client.ListImagesParams{Limit: 3}
	for {
		l, err := h.operator.ListImages(ctx, p)
		h.must(err)
		paged = append(paged, l.Items...)
		if p.Before = l.Next; l.Next == "" {
			break
		}
	}
	if refs(paged) != "secret:1@amd64 golden:1@amd64 ubuntu-24.04:1@arm64 debian-12:2@amd64 debian-12:1@amd64" {
		t.Errorf("in pages: %s", refs(paged))
	}
}

func TestWhoRunsAnOldImage(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	october := h.release("", "debian-12", "2026.10", "")
	h.activate(october.ID)
	first := h.on("red", "web-1", "debian-12")
	if first.Image == nil || first.Image.ID != october.ID || first.Image.Outdated || first.Image.Instead != nil || first.Image.Channel != "debian-12" {
		t.Fatalf("made from the latest: %+v", first.Image)
	}
	november := h.release("", "debian-12", "2026.11", "")
	h.activate(november.ID)
	h.on("red", "web-2", "debian-12")
	h.on("blue", "db-1", "debian-12:2026.10")
	h.server("red", "bare")

	// It was not installed anew, whoever says the channel again or nothing.
	for _, image := range []string{"debian-12", "debian-12@amd64", ""} {
		if s := h.on("red", "web-1", image); s.Image == nil || s.Image.ID != october.ID {
			t.Errorf("%q said again: %+v", image, s.Image)
		}
	}
	s, err := h.viewer.GetServer(ctx, "web-1", nil)
	h.must(err)
	if s.Image == nil || !s.Image.Outdated || s.Image.State != client.ImageStateDeprecated || s.Image.Instead == nil || s.Image.Instead.ID != november.ID {
		t.Errorf("what it runs: %+v", s.Image)
	}
	list := func(c *client.Client, p client.ListServersParams) string {
		l, err := c.ListServers(ctx, &p)
		h.must(err)
		var names []string
		for _, s := range l.Items {
			names = append(names, s.Name)
			if p.OldImage && (s.Image == nil || !s.Image.Outdated) {
				t.Errorf("%s is listed, and its image is %+v", s.Name, s.Image)
			}
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		name   string
		who    *client.Client
		params client.ListServersParams
		want   string
	}{
		{"old ones of red", h.viewer, client.ListServersParams{OldImage: true}, "web-1"},
		{"old ones of all", h.operator, client.ListServersParams{OldImage: true}, "web-1 db-1"},
		{"next page", h.operator, client.ListServersParams{OldImage: true, After: s.ID, Limit: 1}, "db-1"},
		{"of a version", h.operator, client.ListServersParams{Image: "debian-12:2026.11"}, "web-2"},
		{"of an id", h.viewer, client.ListServersParams{Image: october.ID}, "web-1"},
		{"of a channel", h.viewer, client.ListServersParams{Image: "debian-12"}, "web-1 web-2"},
		{"old ones of a version", h.viewer, client.ListServersParams{Image: november.ID, OldImage: true}, ""},
	} {
		if got := list(c.who, c.params); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	if i, err := h.viewer.GetImage(ctx, october.ID, nil); err != nil || i.Servers != 1 {
		t.Errorf("red's servers of it: %+v, %v", i, err)
	}
	if i, err := h.operator.GetImage(ctx, october.ID, nil); err != nil || i.Servers != 2 {
		t.Errorf("all servers of it: %+v, %v", i, err)
	}
	if s := h.on("red", "web-1", "none"); s.Image != nil {
		t.Errorf("forgotten: %+v", s.Image)
	}
}

// A server's architecture decides where several have the version.
func TestServersArchitecture(t *testing.T) {
	h := newHouse(t)
	h.activate(h.release("", "debian-12", "1", "").ID)
	h.activate(h.release("", "debian-12", "1", "arm64").ID)
	s := h.server("red", "web-1")
	if a := h.ask("PUT /v1/servers/web-1", "mara", `{"image":"debian-12"}`); a.status != 400 || a.problem.Errors[0].Location != "image" || !strings.Contains(a.problem.Detail, "say which, such as debian-12:1@") {
		t.Errorf("ambiguous: %d %s", a.status, a.text)
	}
	h.observe(s.ID) // it says amd64
	if got := h.on("red", "web-1", "debian-12"); got.Image == nil || got.Image.Ref != "debian-12:1@amd64" {
		t.Errorf("by what was observed: %+v", got.Image)
	}
	if a := h.ask("GET /v1/channels/debian-12/latest", "vera", ""); a.status != 400 || a.problem.Errors[0].Location != "arch" {
		t.Errorf("the latest of two architectures: %d %s", a.status, a.text)
	}
}

func TestChannels(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	ch, err := h.operator.PutChannel(ctx, "debian-12", client.ChannelInput{Description: "Debian 12", Cadence: "quarterly"}, nil)
	h.must(err)
	if ch.Name != "debian-12" || ch.Project != "" || ch.Cadence != client.Quarterly || ch.Description != "Debian 12" || ch.Revision != 1 || ch.Lines == nil || len(ch.Lines) != 0 {
		t.Errorf("made %+v", ch)
	}
	if got := h.ask("PUT /v1/channels/debian-12", "olga", `{}`).status; got != http.StatusOK {
		t.Errorf("replacing answers %d", got)
	}
	if got := h.ask("PUT /v1/channels/own", "mara", `{}`).status; got != http.StatusCreated {
		t.Errorf("creating answers %d", got)
	}
	october := h.release("", "debian-12", "2026.10", "")
	h.on("red", "web-1", "debian-12:2026.10")
	h.on("blue", "web-1", "debian-12:2026.10")
	h.activate(h.release("", "debian-12", "2026.11", "").ID)
	h.on("red", "web-2", "debian-12")
	// The last releases were a year ago.
	h.update(func(tx store.Tx) error {
		all, err := tx.Images(store.ImageFilter{})
		if err != nil {
			return err
		}
		for _, i := range all {
			i.Released = i.Released.AddDate(-1, 0, 0)
			if _, err := tx.PutImage(i); err != nil {
				return err
			}
		}
		return nil
	})
	l, err := h.viewer.ListChannels(ctx, nil)
	h.must(err)
	if len(l.Items) != 2 || l.Items[0].Name != "debian-12" || l.Items[1].Name != "own" || l.Items[1].Project != "red" || l.Items[0].Cadence != client.Monthly {
		t.Fatalf("listed %+v", l.Items)
	}
	lines := l.Items[0].Lines
	if len(lines) != 1 || lines[0].Arch != "amd64" || lines[0].Active == nil || lines[0].Active.Version != "2026.11" || lines[0].Images != 2 ||
		lines[0].Servers != 2 || lines[0].OldServers != 1 || !lines[0].Overdue || lines[0].Due.Day() != 1 || time.Since(lines[0].Due) < 0 {
		t.Errorf("line %+v; october is %s", lines, october.ID)
	}
}

// A project has channels of its own: others don't see them, and they go before the platform's.
func TestProjectsImages(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	public := h.release("", "debian-12", "1", "")
	h.activate(public.ID)
	own, err := h.member.ReleaseImage(ctx, client.ImageInput{Channel: "debian-12", Version: "1-red"}, nil)
	h.must(err)
	if own.Project != "red" {
		t.Errorf("released for %q", own.Project)
	}
	if got, err := h.viewer.LatestImage(ctx, "debian-12", nil); err != nil || got.ID != public.ID {
		t.Errorf("before it is active: %+v, %v", got, err)
	}
	_, err = h.member.ActivateImage(ctx, "debian-12:1-red", nil)
	h.must(err)
	if got, err := h.viewer.LatestImage(ctx, "debian-12", nil); err != nil || got.ID != own.ID {
		t.Errorf("red's own: %+v, %v", got, err)
	}
	if got, err := h.operator.LatestImage(ctx, "debian-12", &client.LatestImageParams{Project: "blue"}); err != nil || got.ID != public.ID {
		t.Errorf("blue's: %+v, %v", got, err)
	}
	if got, err := h.viewer.GetImage(ctx, public.ID, nil); err != nil || got.State != client.ImageStateActive {
		t.Errorf("the platform's stays active: %+v, %v", got, err)
	}
	if s := h.on("red", "web-1", "debian-12"); s.Image.ID != own.ID {
		t.Errorf("red's server is made from %+v", s.Image)
	}
	if s := h.on("blue", "web-1", "debian-12"); s.Image.ID != public.ID {
		t.Errorf("blue's server is made from %+v", s.Image)
	}

	h.as("bert", identity.Member, "blue")
	for call, body := range map[string]string{
		"GET /v1/images/" + own.ID: "", "POST /v1/images/" + own.ID + "/activate": "", "GET /v1/images/debian-12:1-red": "",
		"POST /v1/images/" + own.ID + "/withdraw": `{"reason":"r"}`, "POST /v1/images/" + own.ID + "/deprecate": `{"reason":"r"}`,
		"GET /v1/images/debian-12?project=red": "", "PUT /v1/channels/x": `{"project":"red"}`, "POST /v1/images": `{"project":"red","channel":"x","version":"1"}`,
		"GET /v1/servers?image=" + own.ID: "", "GET /v1/channels/debian-12/latest?project=red": "",
	} {
		if a := h.ask(call, "bert", body); a.status != http.StatusNotFound {
			t.Errorf("%s by bert of blue: %d %s", call, a.status, a.text)
		}
	}
	for _, call := range []string{"GET /v1/images?project=red", "GET /v1/channels?project=red", "GET /v1/servers?oldImage=true&project=red"} {
		if a := h.ask(call, "bert", ""); a.status != http.StatusForbidden {
			t.Errorf("%s by bert of blue: %d %s", call, a.status, a.text)
		}
	}
	if a := h.ask("PUT /v1/servers/web-1?project=blue", "olga", `{"image":"`+own.ID+`"}`); a.status != http.StatusBadRequest || a.problem.Errors[0].Location != "image" {
		t.Errorf("blue's server on red's image: %d %s", a.status, a.text)
	}
	// What is the platform's is moved by operators alone, though everybody sees it.
	h.as("mike", identity.Member, "")
	for call, body := range map[string]string{
		"POST /v1/images/" + public.ID + "/activate": "", "POST /v1/images/" + public.ID + "/withdraw": `{"reason":"r"}`,
		"POST /v1/images/" + public.ID + "/deprecate": `{"reason":"r"}`,
	} {
		for _, who := range []string{"vera", "mara", "mike"} {
			if a := h.ask(call, who, body); a.status != http.StatusForbidden || !strings.Contains(a.problem.Detail, "that is for operators") {
				t.Errorf("%s by %s: %d %s", call, who, a.status, a.text)
			}
		}
	}
	for call, body := range map[string]string{"POST /v1/images": `{"channel":"x","version":"1"}`, "PUT /v1/channels/x": `{}`} {
		if a := h.ask(call, "mike", body); a.status != http.StatusForbidden {
			t.Errorf("%s by mike: %d %s", call, a.status, a.text)
		}
	}
}

func TestImageRefusals(t *testing.T) {
	h := newHouse(t)
	active, gone, released := h.release("", "debian-12", "2", ""), h.release("", "debian-12", "1", ""), h.release("", "debian-12", "3", "")
	arm := h.release("", "debian-12", "2", "arm64")
	h.activate(active.ID)
	h.activate(arm.ID)
	_, err := h.operator.WithdrawImage(t.Context(), gone.ID, client.WithdrawInput{Reason: "broken"}, nil)
	h.must(err)
	h.server("red", "web-1")
	input := func(fields string) string { return `{"channel":"c","version":"1"` + fields + `}` }
	for _, c := range []struct {
		call, body  string
		status      int
		field, says string
	}{
		{"POST /v1/images", `{"version":"1"}`, 400, "channel", "is required"},
		{"POST /v1/images", `{"channel":"c"}`, 400, "version", "is required"},
		{"POST /v1/images", `{"channel":"Debian 12","version":"1"}`, 400, "channel", "is no channel"},
		{"POST /v1/images", `{"channel":"none","version":"1"}`, 400, "channel", "is no channel"},
		{"POST /v1/images", `{"channel":"c","version":"a b"}`, 400, "version", "is no version"},
		{"POST /v1/images", input(`,"arch":"x-y"`), 400, "arch", "is no architecture"},
		{"POST /v1/images", input(`,"project":"a b"`), 400, "project", "is no name"},
		{"POST /v1/images", input(`,"diskFormat":"floppy"`), 400, "diskFormat", "must be one of raw, qcow2"},
		{"POST /v1/images", input(`,"minDiskGB":-1`), 400, "minDiskGB", ">= 0"},
		{"POST /v1/images", input(`,"minRAMMB":99999999`), 400, "minRAMMB", "must be from 0 to 16777216"},
		{"POST /v1/images", input(`,"checksum":"md5:1"`), 400, "checksum", "must be sha256"},
		{"POST /v1/images", input(`,"source":"file:///etc/passwd"`), 400, "source", "begins with https"},
		{"POST /v1/images", input(`,"notes":"` + strings.Repeat("x", 4097) + `"`), 400, "notes", "length"},
		{"POST /v1/images", `{"channel":"debian-12","version":"2"}`, 409, "", "debian-12:2@amd64 was released already"},
		{"POST /v1/images/" + gone.ID + "/activate", "", 409, "", "was withdrawn (broken) and can't become active again"},
		{"POST /v1/images/debian-12/activate", "", 400, "image", "names a channel: say which image of it"},
		{"POST /v1/images/debian-12:2/withdraw", `{"reason":"r"}`, 400, "image", "several architectures"},
		{"POST /v1/images/a%20b/activate", "", 400, "image", "names no image"},
		{"POST /v1/images/debian-12:9/activate", "", 404, "", `no image "debian-12:9"`},
		{"POST /v1/images/" + active.ID + "/withdraw", `{"reason":" "}`, 400, "reason", "people whose servers run it"},
		{"POST /v1/images/" + active.ID + "/withdraw", `{}`, 400, "reason", "is required"},
		{"POST /v1/images/" + gone.ID + "/withdraw", `{"reason":"other"}`, 409, "", "was withdrawn already"},
		{"POST /v1/images/" + released.ID + "/deprecate", `{}`, 400, "successor", "or give a reason why there is none"},
		{"POST /v1/images/" + active.ID + "/deprecate", `{"successor":"debian-12"}`, 400, "successor", "its own successor"},
		{"POST /v1/images/" + released.ID + "/deprecate", `{"successor":"` + arm.ID + `"}`, 400, "successor", "is not of the same channel"},
		{"POST /v1/images/" + active.ID + "/deprecate", `{"successor":"` + released.ID + `"}`, 409, "", "activate it first"},
		{"POST /v1/images/" + active.ID + "/deprecate", `{"successor":"debian-12:9"}`, 400, "successor", "no image"},
		{"POST /v1/images/" + active.ID + "/deprecate", `{"successor":"?"}`, 400, "successor", "names no image"},
		{"POST /v1/images/" + gone.ID + "/deprecate", `{"reason":"r"}`, 409, "", "was withdrawn already"},
		{"GET /v1/images?state=new", "", 400, "state", "released, active"},
		{"GET /v1/images?limit=1001", "", 400, "limit", "<= 1000"},
		{"GET /v1/images/debian-99", "", 404, "", `no image "debian-99"`},
		{"GET /v1/channels/Debian/latest", "", 400, "channel", "is no channel"},
		{"GET /v1/channels/debian-12/latest?arch=x-y", "", 400, "arch", "is no architecture"},
		{"GET /v1/channels/debian-12/latest?arch=riscv64", "", 404, "", "has no active image"},
		{"PUT /v1/channels/Debian", `{}`, 400, "channel", "is no channel"},
		{"PUT /v1/channels/debian-12", `{"cadence":"hourly"}`, 400, "cadence", "monthly, quarterly"},
		{"PUT /v1/channels/debian-12", `{"description":"` + strings.Repeat("x", 1025) + `"}`, 400, "description", "length"},
		{"PUT /v1/servers/web-1?project=red", `{"image":"debian-12:9"}`, 400, "image", "no image"},
		{"PUT /v1/servers/web-1?project=red", `{"image":"Debian 12"}`, 400, "image", "names no image"},
		{"GET /v1/servers?image=debian-99", "", 404, "", `no image "debian-99"`},
		{"GET /v1/servers?image=debian-12:9", "", 404, "", `no image "debian-12:9"`},
		{"GET /v1/servers?image=%3F", "", 400, "image", "names no image"},
	} {
		before := h.moment()
		a := h.ask(c.call, "olga", c.body)
		if a.status != c.status || !strings.Contains(a.problem.Detail, c.says) {
			t.Errorf("%s %s: want %d and %q, got %d %s", c.call, c.body, c.status, c.says, a.status, a.text)
			continue
		}
		if c.field != "" && (len(a.problem.Errors) == 0 || a.problem.Errors[0].Location != c.field) {
			t.Errorf("%s %s: want %s blamed, got %s", c.call, c.body, c.field, a.text)
		}
		if after := h.moment(); after != before {
			t.Errorf("%s %s was refused, and something changed: %s\n%s", c.call, c.body, before, after)
		}
	}
}

// moment is what the store knows of images, in a line.
func (h *house) moment() (text string) {
	h.t.Helper()
	h.must(h.db.View(h.t.Context(), func(tx store.Tx) error {
		images, err := tx.Images(store.ImageFilter{})
		if err != nil {
			return err
		}
		channels, err := tx.Channels("")
		if err != nil {
			return err
		}
		facts, err := tx.Facts(store.FactFilter{})
		text = fmt.Sprint(images, channels, len(facts))
		return err
	}))
	return text
}

func TestImageWritesAreRepeated(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := client.ImageInput{Channel: "debian-12", Version: "1"}
	release := &client.ReleaseImageParams{IdempotencyKey: "key-1"}
	first, err := h.operator.ReleaseImage(ctx, in, release)
	h.must(err)
	again, err := h.operator.ReleaseImage(ctx, in, release)
	if err != nil || again.ID != first.ID {
		t.Errorf("released twice: %+v, %v", again, err)
	}
	if _, err := h.operator.ReleaseImage(ctx, in, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("without a key: %v", err)
	}
	withdraw := &client.WithdrawImageParams{IdempotencyKey: "key-2"}
	for range 2 {
		i, err := h.operator.WithdrawImage(ctx, first.ID, client.WithdrawInput{Reason: "r"}, withdraw)
		if err != nil || i.Revision != 2 {
			t.Errorf("withdrawn: %+v, %v", i, err)
		}
	}
	if _, err := h.operator.WithdrawImage(ctx, first.ID, client.WithdrawInput{Reason: "s"}, withdraw); !client.Is(err, client.KindConflict) {
		t.Errorf("another reason under the same key: %v", err)
	}
}
