package stackit_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
)

// release makes an image known, and the active one of its channel.
func (h *house) release(project, channel, version string, details fleet.ImageDetails) fleet.Image {
	h.t.Helper()
	i, err := h.desk.ReleaseImage(context.Background(), operator, desk.ImageSpec{Project: project, Channel: channel, Version: version, Details: details})
	h.must(err)
	i, err = h.desk.ActivateImage(context.Background(), operator, project, i.ID)
	h.must(err)
	return i
}

func TestSDKImages(t *testing.T) {
	h := newHouse(t)
	old := h.release("", "debian-12", "2026.10", fleet.ImageDetails{Name: "Debian 12", Distro: "debian", OSVersion: "12", MinDiskGB: 10, MinRAMMB: 512})
	active := h.release("", "debian-12", "2026.11", fleet.ImageDetails{
		Name: "Debian 12", Distro: "debian", OSVersion: "12", DiskFormat: "raw", MinDiskGB: 10, MinRAMMB: 512,
		Checksum: "sha256:" + strings.Repeat("ab", 32),
	})
	bad := h.release("", "debian-11", "1", fleet.ImageDetails{})
	_, err := h.desk.WithdrawImage(t.Context(), operator, "", bad.ID, "it does not boot")
	h.must(err)
	own := h.release(red, "appliance", "7", fleet.ImageDetails{Distro: "Windows Server"})
	foreign := h.release("blue", "theirs", "1", fleet.ImageDetails{})

	api, v1 := h.iaas("vera"), h.iaasV1("vera")
	some, err := api.ListImages(t.Context(), red, region).Execute()
	h.must(err)
	all, err := api.ListImages(t.Context(), red, region).All(true).Execute()
	h.must(err)
	allV1, err := v1.ListImages(t.Context(), red).All(true).Execute()
	h.must(err)
	if len(some.Items) != 2 || len(all.Items) != 4 || len(allV1.Items) != 4 {
		t.Fatalf("%d active, %d in all, %d by version 1", len(some.Items), len(all.Items), len(allV1.Items))
	}
	found, err := api.ListImages(t.Context(), red, region).All(true).LabelSelector("channel=debian-12,version=2026.10").Execute()
	h.must(err)
	if len(found.Items) != 1 || found.Items[0].GetId() != old.ID {
		t.Errorf("an old version: %+v", found.Items)
	}
	got, err := api.GetImage(t.Context(), red, region, active.ID).Execute()
	h.must(err)
	config := got.GetConfig()
	checksum := got.GetChecksum()
	if got.GetId() != active.ID || got.GetName() != "Debian 12" || got.GetDiskFormat() != "raw" || got.GetStatus() != "AVAILABLE" || got.GetScope() != "public" ||
		got.GetMinDiskSize() != 10 || got.GetMinRam() != 512 || got.GetCreatedAt().IsZero() || got.GetUpdatedAt().IsZero() ||
		got.GetLabels()["state"] != "active" || config.GetOperatingSystem() != "linux" || config.GetOperatingSystemDistro() != "debian" ||
		config.GetOperatingSystemVersion() != "12" || config.GetArchitecture() != "amd64" || checksum.GetAlgorithm() != "sha256" {
		t.Errorf("%+v", got)
	}
	for id, want := range map[string][3]string{
		old.ID: {"AVAILABLE", "public", "deprecated"}, bad.ID: {"DEACTIVATED", "public", "withdrawn"}, own.ID: {"AVAILABLE", "local", "active"},
	} {
		one, err := v1.GetImage(t.Context(), red, id).Execute()
		h.must(err)
		if one.GetStatus() != want[0] || one.GetScope() != want[1] || one.GetLabels()["state"] != want[2] {
			t.Errorf("%v: %+v", want, one)
		}
	}
	if one, err := api.GetImage(t.Context(), red, region, own.ID).Execute(); err != nil || *one.GetConfig().OperatingSystem != "windows" {
		t.Errorf("%+v %v", one, err)
	}
	h.asImageErrors(foreign.ID)
}

// asImageErrors holds the shape of the images' errors.
func (h *house) asImageErrors(foreign string) {
	h.t.Helper()
	api := h.iaas("vera")
	for _, id := range []string{"none", "a:b:c", "debian-99", "%20", "debian-12@"} { // the SDK refuses them itself
		if a := h.ask("GET /v2/projects/"+red+"/regions/eu01/images/"+id, "vera", "").is(http.StatusNotFound); !strings.HasPrefix(a.text, `{"code":404,"msg":"imageId: `) {
			h.t.Error(a.text)
		}
	}
	for _, id := range []string{foreign, "00000000-0000-0000-0000-000000000000"} {
		_, err := api.GetImage(context.Background(), red, region, id).Execute()
		refused(h.t, err, http.StatusNotFound, `{"code":404,"msg":"imageId: there is no image`)
		_, err = h.iaasV1("olga").GetImage(context.Background(), red, id).Execute()
		refused(h.t, err, http.StatusNotFound, `{"code":404,"msg":"`)
	}
	_, err := api.ListImages(context.Background(), newUUID(), region).Execute()
	refused(h.t, err, http.StatusForbidden, `{"code":403,"msg":"`)
	h.ask("GET /v2/projects/"+red+"/regions/eu01/images?all=perhaps", "vera", "").is(http.StatusBadRequest)
	h.ask("GET /v2/projects/"+red+"/regions/eu01/images?label_selector=a", "vera", "").is(http.StatusBadRequest)
	h.ask("GET /v2/projects/"+red+"/regions/eu01/images/", "vera", "").is(http.StatusNotFound)
}
