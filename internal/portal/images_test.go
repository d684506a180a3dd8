package portal

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// image releases one, and activates it if that is wanted.
func (h *house) image(project, channel, version string, active bool, details fleet.ImageDetails) fleet.Image {
	h.t.Helper()
	i, err := h.desk.ReleaseImage(context.Background(), boss, desk.ImageSpec{Project: project, Channel: channel, Version: version, Details: details})
	if err == nil && active {
		i, err = h.desk.ActivateImage(context.Background(), boss, "", i.ID)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return i
}

// on says what a server was made from.
func (h *house) on(t fleet.Target, image string) {
	h.t.Helper()
	if _, _, err := h.desk.PutServer(context.Background(), boss, desk.ServerSpec{Project: t.Project, Name: t.Name, Group: t.Group, Labels: t.Labels, Image: image}); err != nil {
		h.t.Fatal(err)
	}
}

func TestImagesPage(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as(identity.Viewer)
	b.get("/images").must(t, http.StatusOK, "No image is known yet", "upkeep image release", `<a href="/images" aria-current="true"`)

	october := h.image("", "debian-12", "2026.10", true, fleet.ImageDetails{Name: "Debian <12>", Notes: "kernel 6.1.0-28"})
	old := h.server("shop", "web-1", look(1, false), time.Minute)
	h.on(old, "debian-12")
	h.on(h.server("bank", "vault-1", nil, 0), "debian-12")
	november := h.image("", "debian-12", "2026.11", true, fleet.ImageDetails{})
	h.on(h.server("shop", "web-2", nil, 0), "debian-12")
	h.server("shop", "web-3", nil, 0)
	bad := h.image("", "debian-12", "2026.12", false, fleet.ImageDetails{})
	if _, err := h.desk.WithdrawImage(context.Background(), boss, "", bad.ID, "panics on <boot>"); err != nil {
		t.Fatal(err)
	}
	h.image("shop", "golden", "1", false, fleet.ImageDetails{})
	h.image("bank", "secret", "1", true, fleet.ImageDetails{})

	page := b.get("/images")
	page.must(t, http.StatusOK,
		"debian-12", "For every project", "a new image every month", "active: 2026.11", "next release by", "1 server runs an old image",
		"Debian &lt;12&gt;", "kernel 6.1.0-28", "deprecated", "withdrawn", "panics on &lt;boot&gt;", "golden", "Of project shop", "no active image",
		`href="/servers?image=`+october.ID+`"`, `href="/servers?image=`+november.ID+`"`).
		mustNot(t, "secret", "<boot>", "⟦", `href="/servers?image=`+bad.ID+`"`, "overdue")
	if strings.Index(page.body, "2026.12") > strings.Index(page.body, `<th scope="row">2026.10`) {
		t.Error("the newest release is not first")
	}
	b.get("/images?lang=de").must(t, http.StatusOK, "abgelöst", "zurückgezogen", "jeden Monat ein neues Image", "aktiv: 2026.11", "1 Server läuft mit einem alten Image").mustNot(t, "⟦")
	b.get("/servers?lang=en")

	// The links lead to the servers, and to those that are behind.
	b.get("/servers?image="+october.ID).must(t, http.StatusOK, "web-1", "Only servers made from debian-12:2026.10@amd64", "outdated").mustNot(t, "web-2", "web-3", "vault-1")
	b.get("/servers?image="+november.ID).must(t, http.StatusOK, "web-2").mustNot(t, "web-1", "outdated")
	b.get("/servers?show=old-image").must(t, http.StatusOK, "web-1", "on an old image").mustNot(t, "web-2", "web-3")
	b.get("/servers?image=nothing").must(t, http.StatusOK, "No server")
	b.get(serverPath(old.ID)).must(t, http.StatusOK, "debian-12:2026.10@amd64", "deprecated", "use 2026.11 instead").mustNot(t, "⟦")
	h.browser().get("/images").must(t, http.StatusSeeOther)
}

// What nobody runs any more is out of the way, and still to be found.
func TestOldImagesAreFolded(t *testing.T) {
	var images []fleet.Image
	for n := range 10 {
		images = append(images, fleet.Image{ID: fmt.Sprint(n), Version: fmt.Sprintf("v%d", n), State: fleet.ImageDeprecated, Deprecated: time.Unix(1, 0)})
	}
	images[9].State = fleet.ImageActive
	l := viewLine(fleet.Line{Arch: "amd64", Images: images}, map[string]int{"7": 3})
	var shown []string
	for _, row := range l.Shown {
		shown = append(shown, row.Version)
	}
	if got := strings.Join(shown, " "); got != "v0 v1 v2 v3 v4 v5 v7 v9" || len(l.Others) != 2 || l.Servers != 3 || l.Behind != 3 || l.Active != "v9" {
		t.Errorf("shown %s, others %+v, %+v", got, l.Others, l)
	}
}

// imagesOfYears are all that the page of images can show; it names one that is old.
func (h *house) imagesOfYears() (old string) {
	for month := range 11 {
		h.image("", "debian-12", fmt.Sprintf("2026.%02d", month+1), true, fleet.ImageDetails{Name: "Debian 12 (bookworm)", Notes: "Kernel 6.1.0-" + fmt.Sprint(20+month)})
	}
	bad := h.image("", "debian-12", "2026.12", false, fleet.ImageDetails{Name: "Debian 12 (bookworm)"})
	if _, err := h.desk.WithdrawImage(context.Background(), boss, "", bad.ID, "The kernel panics on hosts with more than 128 cores"); err != nil {
		h.t.Fatal(err)
	}
	h.image("", "ubuntu-24.04-minimal", "20261101-amd64-server.2", false, fleet.ImageDetails{})
	if _, _, err := h.desk.PutChannel(context.Background(), boss, desk.ChannelSpec{Project: "shop", Name: "golden", Description: "Debian 12 with the shop's own monitoring", Cadence: fleet.AsNeeded}); err != nil {
		h.t.Fatal(err)
	}
	return "debian-12:2026.03"
}
