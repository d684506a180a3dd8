package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// Image is one version of what servers are made from.
type Image struct {
	ID       string     `json:"id" doc:"Given by Upkeep; never changes." example:"0199f3c6-3a10-7b2c-8f4e-5d1e2c3b4a59"`
	Project  string     `json:"project,omitempty" doc:"Whose it is; missing: the platform's, which every project may use." example:"default"`
	Channel  string     `json:"channel" doc:"The series that it belongs to." example:"debian-12"`
	Arch     string     `json:"arch" doc:"The processor's architecture." example:"amd64"`
	Version  string     `json:"version" doc:"As its vendor calls it; unique in its channel and architecture." example:"2026.11"`
	Ref      string     `json:"ref" doc:"How people name it: CHANNEL:VERSION@ARCH." example:"debian-12:2026.11@amd64"`
	State    ImageState `json:"state" doc:"Where it is in its life." example:"active"`
	Outdated bool       `json:"outdated" doc:"Whether who runs it should go on to another one: it was deprecated or withdrawn."`

	ImageDetails

	Reason    string      `json:"reason,omitempty" doc:"Why it was withdrawn, or deprecated without a successor." example:"kernel panics on boot"`
	Successor *ImageBrief `json:"successor,omitempty" doc:"The image that replaced it, which may have been replaced since."`
	Instead   *ImageBrief `json:"instead,omitempty" doc:"What to use instead now: the active image of its channel; missing if there is none, or if it is not outdated."`

	Released   time.Time `json:"released" doc:"When it was made known."`
	Activated  time.Time `json:"activated,omitzero" doc:"When it became active the last time; missing if it never did."`
	Deprecated time.Time `json:"deprecated,omitzero" doc:"When it was deprecated; missing if it is not."`
	Withdrawn  time.Time `json:"withdrawn,omitzero" doc:"When it was withdrawn; missing if it was not."`
	Revision   int64     `json:"revision" doc:"Counts its changes; 1 when it is new." example:"2"`
	Servers    int       `json:"servers" doc:"How many servers that the caller may see were made from it." example:"17"`
}

// ImageDetails is what there is to know of an image beside its place in a channel.
type ImageDetails struct {
	Name       string `json:"name,omitempty" maxLength:"256" doc:"What people call it." example:"Debian 12 (November 2026)"`
	Distro     string `json:"distro,omitempty" maxLength:"256" doc:"The distribution." example:"debian"`
	OSVersion  string `json:"osVersion,omitempty" maxLength:"256" doc:"The distribution's version." example:"12"`
	DiskFormat string `json:"diskFormat,omitempty" maxLength:"16" doc:"raw, qcow2, vmdk, vdi, vhd, vhdx, iso, ploop, ami, ari or aki; qcow2 if left out." example:"qcow2"`
	MinDiskGB  int    `json:"minDiskGB,omitempty" minimum:"0" doc:"The smallest disk that it fits on; unknown if left out." example:"10"`
	MinRAMMB   int    `json:"minRAMMB,omitempty" minimum:"0" doc:"The least memory that it needs; unknown if left out." example:"512"`
	Checksum   string `json:"checksum,omitempty" maxLength:"160" doc:"sha256: or sha512: and small hex digits." example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Source     string `json:"source,omitempty" maxLength:"2048" doc:"Where it can be fetched. Upkeep does not fetch it." example:"https://images.example.net/debian-12/2026.11.qcow2"`
	Notes      string `json:"notes,omitempty" maxLength:"4096" doc:"What is new in it." example:"Kernel 6.1.0-30"`
}

// ImageBrief is an image in short.
type ImageBrief struct {
	ID      string     `json:"id" doc:"The image's id." example:"0199f3c6-3a10-7b2c-8f4e-5d1e2c3b4a59"`
	Ref     string     `json:"ref" doc:"How people name it: CHANNEL:VERSION@ARCH." example:"debian-12:2026.11@amd64"`
	Version string     `json:"version" doc:"Its version." example:"2026.11"`
	State   ImageState `json:"state" doc:"Where it is in its life." example:"active"`
}

// ServerImage is the image that a server was made from.
type ServerImage struct {
	ID       string      `json:"id" doc:"The image's id." example:"0199f3c6-3a10-7b2c-8f4e-5d1e2c3b4a59"`
	Ref      string      `json:"ref" doc:"How people name it: CHANNEL:VERSION@ARCH." example:"debian-12:2026.10@amd64"`
	Channel  string      `json:"channel" doc:"The series that it belongs to." example:"debian-12"`
	Version  string      `json:"version" doc:"Its version." example:"2026.10"`
	State    ImageState  `json:"state" doc:"Where it is in its life." example:"deprecated"`
	Outdated bool        `json:"outdated" doc:"Whether the server should go on to another one: its image was deprecated, withdrawn or passed over."`
	Reason   string      `json:"reason,omitempty" doc:"Why it was withdrawn, or deprecated without a successor." example:"kernel panics on boot"`
	Instead  *ImageBrief `json:"instead,omitempty" doc:"What to use instead: the active image of its channel; missing if there is none, or if it is not outdated."`
}

// ImageList is a page of images.
type ImageList struct {
	Items []Image `json:"items" doc:"The images, the newest release first."`
	Next  string  `json:"next,omitempty" doc:"What to give as before for the next page; missing on the last."`
}

// ImageInput is what a caller says of a new image.
type ImageInput struct {
	Project string `json:"project,omitempty" maxLength:"63" doc:"Whose it is; the token's own project if left out, and the platform's if the token is for every project." example:"default"`
	Channel string `json:"channel" maxLength:"63" doc:"The series that it belongs to: small letters, digits, dots, dashes and underscores. It is created with its first image." example:"debian-12"`
	Arch    string `json:"arch,omitempty" maxLength:"20" doc:"The processor's architecture; amd64 if left out." example:"amd64"`
	Version string `json:"version" maxLength:"63" doc:"As its vendor calls it; new in its channel and architecture." example:"2026.11"`
	ImageDetails
}

// DeprecateInput is what to use instead of an image.
type DeprecateInput struct {
	Successor string `json:"successor,omitempty" maxLength:"150" doc:"The active image of the same channel and architecture: its id, CHANNEL:VERSION, or CHANNEL." example:"debian-12"`
	Reason    string `json:"reason,omitempty" maxLength:"1024" doc:"Why; needed if there is no successor." example:"Debian 11 has reached its end of life"`
}

// WithdrawInput is why an image is withdrawn.
type WithdrawInput struct {
	Reason string `json:"reason" maxLength:"1024" doc:"Why; people whose servers run it read it." example:"kernel panics on boot"`
}

type ImagePath struct {
	Image string `path:"image" maxLength:"150" doc:"The image's id, CHANNEL:VERSION or CHANNEL:VERSION@ARCH." example:"debian-12:2026.11"`
	InProject
}

type (
	listImagesIn struct {
		InProject
		Page
		Channel string `query:"channel" maxLength:"63" doc:"Only images of this channel."`
		State   string `query:"state" enum:"released,active,deprecated,withdrawn" doc:"Only images in this state."`
		Arch    string `query:"arch" maxLength:"20" doc:"Only images for this architecture."`
		Before  string `query:"before" maxLength:"63" doc:"Only images released before the one of this id: a page's next."`
	}
	listImagesOut  struct{ Body ImageList }
	imageOut       struct{ Body Image }
	releaseImageIn struct {
		Keyed
		Body ImageInput
	}
	activateImageIn struct {
		ImagePath
		Keyed
	}
	deprecateImageIn struct {
		ImagePath
		Keyed
		Body DeprecateInput
	}
	withdrawImageIn struct {
		ImagePath
		Keyed
		Body WithdrawInput
	}
)

func (d *door) images() {
	register(d, op{
		id: "listImages", call: "GET /v1/images", scope: identity.Read, tag: "images",
		summary:     "List images",
		description: "Lists the platform's images and the project's own, in all states, the newest release first.",
	}, d.listImages)
	register(d, op{
		id: "releaseImage", call: "POST /v1/images", scope: identity.Write, tag: "images", creates: true,
		summary:     "Release an image",
		description: "Makes a new version known. Nothing uses it by itself until it is activated. What a version is, never changes: what is new needs a new version. Images of the platform are for operators.",
	}, d.releaseImage)
	register(d, op{
		id: "getImage", call: "GET /v1/images/{image}", scope: identity.Read, tag: "images",
		summary: "Show an image", description: "Shows an image. CHANNEL alone shows its active one.",
	}, d.getImage)
	register(d, op{
		id: "activateImage", call: "POST /v1/images/{image}/activate", scope: identity.Write, tag: "images",
		summary:     "Activate an image",
		description: "Has new servers of its channel made from this image. The one that was active is deprecated, with this one as its successor. A deprecated image can become active again; one that was withdrawn can't.",
	}, d.activateImage)
	register(d, op{
		id: "deprecateImage", call: "POST /v1/images/{image}/deprecate", scope: identity.Write, tag: "images",
		summary:     "Deprecate an image",
		description: "Says what to use instead of an image: the active one of its channel and architecture, or nothing, for a reason.",
	}, d.deprecateImage)
	register(d, op{
		id: "withdrawImage", call: "POST /v1/images/{image}/withdraw", scope: identity.Write, tag: "images",
		summary:     "Withdraw an image",
		description: "Says that nothing may be made from an image any more. There is no way back. Servers that run it stay as they are, and are listed as outdated. A channel whose active image is withdrawn has none until another one is activated.",
	}, d.withdrawImage)
}

func (d *door) listImages(ctx context.Context, c desk.Caller, in *listImagesIn) (*listImagesOut, error) {
	all, err := d.desk.Images(ctx, c, desk.ImageFilter{
		Project: in.Project, Channel: in.Channel, Arch: in.Arch, State: fleet.ImageState(in.State), Before: in.Before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	tell, err := d.imageTeller(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	out := ImageList{Items: list(all, tell)}
	out.Next = next(out.Items, in.Limit, func(i Image) string { return i.ID })
	return &listImagesOut{out}, nil
}

func (d *door) releaseImage(ctx context.Context, c desk.Caller, in *releaseImageIn) (*imageOut, error) {
	b := in.Body
	i, err := d.desk.ReleaseImage(ctx, c, desk.ImageSpec{
		Project: b.Project, Channel: b.Channel, Arch: b.Arch, Version: b.Version, Details: fleet.ImageDetails(b.ImageDetails),
	})
	return d.tellImage(ctx, c, b.Project, i, err)
}

func (d *door) getImage(ctx context.Context, c desk.Caller, in *ImagePath) (*imageOut, error) {
	i, err := d.desk.Image(ctx, c, in.Project, in.Image)
	return d.tellImage(ctx, c, in.Project, i, err)
}

func (d *door) activateImage(ctx context.Context, c desk.Caller, in *activateImageIn) (*imageOut, error) {
	i, err := d.desk.ActivateImage(ctx, c, in.Project, in.Image)
	return d.tellImage(ctx, c, in.Project, i, err)
}

func (d *door) deprecateImage(ctx context.Context, c desk.Caller, in *deprecateImageIn) (*imageOut, error) {
	i, err := d.desk.DeprecateImage(ctx, c, in.Project, in.Image, in.Body.Successor, in.Body.Reason)
	return d.tellImage(ctx, c, in.Project, i, err)
}

func (d *door) withdrawImage(ctx context.Context, c desk.Caller, in *withdrawImageIn) (*imageOut, error) {
	i, err := d.desk.WithdrawImage(ctx, c, in.Project, in.Image, in.Body.Reason)
	return d.tellImage(ctx, c, in.Project, i, err)
}

// tellImage answers what became of an image.
func (d *door) tellImage(ctx context.Context, c desk.Caller, project string, i fleet.Image, err error) (*imageOut, error) {
	if err != nil {
		return nil, err
	}
	tell, err := d.imageTeller(ctx, c, project)
	if err != nil {
		return nil, err
	}
	return &imageOut{tell(i)}, nil
}

// imageTeller writes images with their successors and the number of their servers.
func (d *door) imageTeller(ctx context.Context, c desk.Caller, project string) (func(fleet.Image) Image, error) {
	lines, use, err := d.desk.Channels(ctx, c, project)
	if err != nil {
		return nil, err
	}
	known, active := map[string]fleet.Image{}, map[string]fleet.Image{}
	for _, l := range lines {
		a, _ := l.Active()
		for _, i := range l.Images {
			known[i.ID], active[i.ID] = i, a
		}
	}
	return func(i fleet.Image) Image {
		out := imageOf(i)
		out.Servers, out.Outdated = use[i.ID], i.Outdated(active[i.ID])
		if out.Outdated {
			out.Instead = briefOf(active[i.ID])
		}
		if s, ok := known[i.Successor]; ok {
			out.Successor = briefOf(s)
		}
		return out
	}, nil
}

func imageOf(i fleet.Image) Image {
	return Image{
		ID: i.ID, Project: i.Project, Channel: i.Channel, Arch: i.Arch, Version: i.Version, Ref: i.Ref(),
		State: ImageState(i.State), ImageDetails: ImageDetails(i.Details), Reason: i.Reason,
		Released: i.Released.UTC(), Activated: i.Activated.UTC(), Deprecated: i.Deprecated.UTC(), Withdrawn: i.Withdrawn.UTC(),
		Revision: i.Revision,
	}
}

func briefOf(i fleet.Image) *ImageBrief {
	if i.ID == "" {
		return nil
	}
	return &ImageBrief{ID: i.ID, Ref: i.Ref(), Version: i.Version, State: ImageState(i.State)}
}

func serverImageOf(s *desk.ServerImage) *ServerImage {
	if s == nil {
		return nil
	}
	i := s.Image
	return &ServerImage{
		ID: i.ID, Ref: i.Ref(), Channel: i.Channel, Version: i.Version, State: ImageState(i.State),
		Outdated: s.Outdated, Reason: i.Reason, Instead: briefOf(s.Instead),
	}
}
