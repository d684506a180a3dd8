package stackit

import (
	"context"
	"net/http"
	"strings"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
)

// imageBody is an image as the IaaS API has it. Its labels say what our words
// for it are: its channel, its version and its state.
type imageBody struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	DiskFormat  string            `json:"diskFormat"`
	Status      string            `json:"status"`
	Scope       string            `json:"scope"`
	Labels      map[string]string `json:"labels"`
	MinDiskSize int               `json:"minDiskSize"` // GB
	MinRAM      int               `json:"minRam"`      // MB
	CreatedAt   string            `json:"createdAt,omitempty"`
	UpdatedAt   string            `json:"updatedAt,omitempty"`
	Checksum    *checksumBody     `json:"checksum,omitempty"`
	Config      imageConfigBody   `json:"config"`

	Successor string `json:"successor,omitempty"` // the id of the image to use instead
	Reason    string `json:"reason,omitempty"`    // why it was deprecated or withdrawn
}

type checksumBody struct {
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

type imageConfigBody struct {
	OperatingSystem        string `json:"operatingSystem"`
	OperatingSystemDistro  string `json:"operatingSystemDistro,omitempty"`
	OperatingSystemVersion string `json:"operatingSystemVersion,omitempty"`
	Architecture           string `json:"architecture"`
}

// listImages lists what servers are best made from: the active image of each
// channel. With all=true it lists every version, old ones and those not yet
// active too.
func (d *door) listImages(ctx context.Context, c *call) (int, any, error) {
	all, err := c.flag("all")
	if err != nil {
		return 0, nil, err
	}
	wanted, err := c.selector("label_selector")
	if err != nil {
		return 0, nil, err
	}
	filter := desk.ImageFilter{Project: c.values["projectId"]}
	if !all {
		filter.State = fleet.ImageActive
	}
	var items []imageBody
	for {
		page, err := d.desk.Images(ctx, c.who, filter)
		if err != nil {
			return 0, nil, err
		}
		for _, i := range page {
			if b := imageOf(i); holds(b.Labels, wanted) {
				items = append(items, b)
			}
		}
		if len(page) < desk.MaxPage {
			return http.StatusOK, listOf(items), nil
		}
		filter.Before = page[len(page)-1].ID
	}
}

func (d *door) getImage(ctx context.Context, c *call) (int, any, error) {
	project := c.values["projectId"]
	i, err := d.desk.Image(ctx, c.who, project, c.values["imageId"])
	if fault.Is(err, fault.KindInvalid) || fault.Is(err, fault.KindNotFound) || err == nil && !i.Public() && i.Project != project {
		return 0, nil, missing("imageId", "there is no image %q", clip(c.values["imageId"]))
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, imageOf(i), nil
}

// flag reads a query parameter that is true or false; missing is false.
func (c *call) flag(name string) (bool, error) {
	for _, v := range c.query[name] {
		switch v {
		case "true":
			return true, nil
		case "false", "":
		default:
			return false, fault.Invalid(name, "must be true or false, not %q", clip(v))
		}
	}
	return false, nil
}

// selector reads labels with the values that they must have: a=b,c=d.
func (c *call) selector(name string) (map[string]string, error) {
	wanted := map[string]string{}
	for _, v := range c.query[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part == "" {
				continue
			}
			key, value, ok := strings.Cut(part, "=")
			value = strings.TrimPrefix(value, "=")
			if !ok || key == "" || strings.ContainsAny(key+value, "!=()") {
				return nil, fault.Invalid(name, "must be labels with their values, such as channel=debian-12,state=active, not %q", clip(v))
			}
			wanted[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return wanted, nil
}

func holds(labels, wanted map[string]string) bool {
	for k, v := range wanted {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func imageOf(i fleet.Image) imageBody {
	b := imageBody{
		ID: i.ID, Name: i.Title(), DiskFormat: i.Details.DiskFormat, Status: "AVAILABLE", Scope: "local",
		Labels:      map[string]string{"channel": i.Channel, "version": i.Version, "state": string(i.State)},
		MinDiskSize: i.Details.MinDiskGB, MinRAM: i.Details.MinRAMMB,
		CreatedAt: stamp(i.Released), UpdatedAt: stamp(i.Changed()),
		Config: imageConfigBody{
			OperatingSystem: "linux", OperatingSystemDistro: i.Details.Distro,
			OperatingSystemVersion: i.Details.OSVersion, Architecture: i.Arch,
		},
		Successor: i.Successor, Reason: i.Reason,
	}
	if !i.Usable() {
		b.Status = "DEACTIVATED"
	}
	if i.Public() {
		b.Scope = "public"
	}
	if strings.Contains(strings.ToLower(i.Details.Distro), "windows") {
		b.Config.OperatingSystem = "windows"
	}
	if algorithm, digest, ok := strings.Cut(i.Details.Checksum, ":"); ok {
		b.Checksum = &checksumBody{algorithm, digest}
	}
	return b
}
