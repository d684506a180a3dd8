package fleet

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
)

// ImageState is where an image is in its life.
type ImageState string

// The states of an image. Nothing leads back from withdrawn; a deprecated image
// can become active again, for that is how one goes back from a bad release.
//
//	released ──→ active ←──→ deprecated
//	    └───────────┼──────────────┤
//	                ↓              ↓
//	             withdrawn  (from all three)
const (
	ImageReleased   ImageState = "released"   // it can be had, and tried, by who asks for this very version
	ImageActive     ImageState = "active"     // new servers of its channel are made from it
	ImageDeprecated ImageState = "deprecated" // it still works; use its successor
	ImageWithdrawn  ImageState = "withdrawn"  // nothing may be made from it any more
)

// ImageStates are all states, in the order of a life.
var ImageStates = []ImageState{ImageReleased, ImageActive, ImageDeprecated, ImageWithdrawn}

// Image is one version of what servers are made from. The channel and the
// architecture are its line: in each line of a project one image is active, or none.
type Image struct {
	ID      string
	Project string // whose it is; empty: the platform's, which every project may use
	Channel string // such as debian-12
	Arch    string // such as amd64
	Version string // as its vendor calls it, such as 2026.11; unique in its line
	Details ImageDetails

	State     ImageState
	Reason    string // why it was deprecated without a successor, or withdrawn
	Successor string // id of the image to use instead; may be empty

	// When it came to be so the last time; zero: never.
	Released   time.Time
	Activated  time.Time
	Deprecated time.Time
	Withdrawn  time.Time

	Revision int64 // for compare-and-set; the store counts it
}

// ImageDetails is what there is to know of an image beside its place in a
// channel. Upkeep keeps it for people and for other programs; it fetches no image.
type ImageDetails struct {
	Name       string // for people
	Distro     string // such as debian
	OSVersion  string // such as 12
	DiskFormat string // one of DiskFormats
	MinDiskGB  int    // 0: unknown
	MinRAMMB   int    // 0: unknown
	Checksum   string // "sha256:" or "sha512:" and hex digits; may be empty
	Source     string // where it can be fetched, a URL; may be empty
	Notes      string // what is new in it
}

// What is meant where nothing is said.
const (
	DefaultArch       = "amd64"
	DefaultDiskFormat = "qcow2"
)

// DiskFormats are the formats of images that clouds know.
var DiskFormats = []string{"raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ploop", "ami", "ari", "aki"}

// Limits of an image's description.
const (
	MaxImageText   = 256
	MaxImageSource = 2048
	MaxImageNotes  = 4096
	MaxImageDisk   = 1 << 16 // GB
	MaxImageRAM    = 1 << 24 // MB
)

var (
	channelName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	archName     = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,19}$`)
	imageVersion = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._+~-]{0,61}[A-Za-z0-9])?$`)
	checksum     = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
)

// NoImage is what is written where an image is to be forgotten; no channel is called so.
const NoImage = "none"

// ValidChannel blames field if name can't name a channel.
func ValidChannel(field, name string) error {
	if !channelName.MatchString(name) || name == NoImage {
		return fault.Invalid(field, "%q is no channel: 1 to %d small letters, digits, dots, dashes and underscores, with a letter or digit at both ends, such as debian-12", name, MaxNameBytes)
	}
	return nil
}

// ValidArch blames field if name can't name an architecture.
func ValidArch(field, name string) error {
	if !archName.MatchString(name) {
		return fault.Invalid(field, "%q is no architecture: 1 to 20 small letters, digits and underscores, such as %s or arm64", name, DefaultArch)
	}
	return nil
}

// Validate blames the first field that can't be.
func (i Image) Validate() error {
	if err := ValidChannel("channel", i.Channel); err != nil {
		return err
	}
	if err := ValidArch("arch", i.Arch); err != nil {
		return err
	}
	if !imageVersion.MatchString(i.Version) {
		return fault.Invalid("version", "%q is no version: 1 to %d letters, digits, dots, dashes, underscores, + and ~, with a letter or digit at both ends, such as 2026.11", i.Version, MaxNameBytes)
	}
	if i.Project != "" {
		if err := ValidName("project", i.Project); err != nil {
			return err
		}
	}
	return i.Details.validate()
}

func (d ImageDetails) validate() error {
	for _, f := range []struct {
		name, value string
		most        int
	}{
		{"name", d.Name, MaxImageText}, {"distro", d.Distro, MaxImageText}, {"osVersion", d.OSVersion, MaxImageText}, {"notes", d.Notes, MaxImageNotes},
	} {
		if len(f.value) > f.most {
			return fault.Invalid(f.name, "must have at most %d bytes, not %d", f.most, len(f.value))
		}
	}
	switch {
	case !slices.Contains(DiskFormats, d.DiskFormat):
		return fault.Invalid("diskFormat", "must be one of %s, not %q", strings.Join(DiskFormats, ", "), d.DiskFormat)
	case d.MinDiskGB < 0 || d.MinDiskGB > MaxImageDisk:
		return fault.Invalid("minDiskGB", "must be from 0 to %d, not %d", MaxImageDisk, d.MinDiskGB)
	case d.MinRAMMB < 0 || d.MinRAMMB > MaxImageRAM:
		return fault.Invalid("minRAMMB", "must be from 0 to %d, not %d", MaxImageRAM, d.MinRAMMB)
	case d.Checksum != "" && !checksum.MatchString(d.Checksum):
		return fault.Invalid("checksum", "must be sha256: and 64 small hex digits, or sha512: and 128 of them")
	}
	if d.Source == "" {
		return nil
	}
	u, err := url.Parse(d.Source)
	if err != nil || len(d.Source) > MaxImageSource || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return fault.Invalid("source", "must be a URL that begins with https:// or http://, without a password and with at most %d bytes", MaxImageSource)
	}
	return nil
}

// Public reports whether every project may use the image.
func (i Image) Public() bool { return i.Project == "" }

// Usable reports whether servers may still be made from the image.
func (i Image) Usable() bool { return i.State != ImageWithdrawn }

// Ref is how people name the image: CHANNEL:VERSION@ARCH.
func (i Image) Ref() string { return i.Channel + ":" + i.Version + "@" + i.Arch }

// Title is the image's name, or what it can be called if it has none.
func (i Image) Title() string {
	if i.Details.Name != "" {
		return i.Details.Name
	}
	return i.Channel + " " + i.Version
}

// Changed is when the image came to be as it is.
func (i Image) Changed() time.Time {
	newest := i.Released
	for _, t := range []time.Time{i.Activated, i.Deprecated, i.Withdrawn} {
		if t.After(newest) {
			newest = t
		}
	}
	return newest
}

// sameLine reports whether one image of the two would replace the other.
func (i Image) sameLine(o Image) bool {
	return i.Project == o.Project && i.Channel == o.Channel && i.Arch == o.Arch
}

// Release makes an image known. Nothing uses it by itself until it is activated.
func (i Image) Release(who string, now time.Time) (Image, []history.Fact, error) {
	if i.Arch == "" {
		i.Arch = DefaultArch
	}
	if i.Details.DiskFormat == "" {
		i.Details.DiskFormat = DefaultDiskFormat
	}
	if err := i.Validate(); err != nil {
		return i, nil, err
	}
	i.State, i.Released = ImageReleased, now
	return i, i.told(who, now, history.ImageReleased, "released"), nil
}

// Activate makes it the one that new servers of its channel are made from. The
// one that was is deprecated and has this one as its successor; changed are both,
// the former one first. others are the images of the same line, this one
// may be among them. Nothing changes if it is active already.
func (i Image) Activate(others []Image, who string, now time.Time) (changed []Image, facts []history.Fact, err error) {
	switch i.State {
	case ImageActive:
		return nil, nil, nil
	case ImageWithdrawn:
		return nil, nil, fault.Conflict("image %s was withdrawn (%s) and can't become active again: release a new version", i.Ref(), i.Reason)
	case ImageReleased, ImageDeprecated:
	}
	for _, former := range others {
		if former.State != ImageActive || former.ID == i.ID || !former.sameLine(i) {
			continue
		}
		former.State, former.Successor, former.Reason, former.Deprecated = ImageDeprecated, i.ID, "", now
		changed = append(changed, former)
		facts = append(facts, former.told(who, now, history.ImageDeprecated, "deprecated: use %s", i.Version)...)
	}
	i.State, i.Activated, i.Deprecated, i.Successor, i.Reason = ImageActive, now, time.Time{}, "", ""
	return append(changed, i), append(facts, i.told(who, now, history.ImageActivated, "is active: new servers are made from it")...), nil
}

// Deprecate says that something else is to be used: the successor, which must
// be active in the same line, or (a zero one) nothing, and then the reason says why.
func (i Image) Deprecate(successor Image, reason, who string, now time.Time) (Image, []history.Fact, error) {
	none := successor.ID == ""
	switch {
	case len(reason) > MaxReasonBytes:
		return i, nil, fault.Invalid("reason", "must have at most %d bytes, not %d", MaxReasonBytes, len(reason))
	case none && strings.TrimSpace(reason) == "":
		return i, nil, fault.Invalid("successor", "is missing: name the active image of the channel, or give a reason why there is none")
	case i.State == ImageWithdrawn:
		return i, nil, fault.Conflict("image %s was withdrawn already (%s)", i.Ref(), i.Reason)
	case !none && successor.ID == i.ID:
		return i, nil, fault.Invalid("successor", "image %s can't be its own successor: activate another one, which deprecates it, or give a reason why there is none", i.Ref())
	case !none && !successor.sameLine(i):
		return i, nil, fault.Invalid("successor", "image %s is not of the same channel, architecture and owner as %s", successor.Ref(), i.Ref())
	case !none && successor.State != ImageActive:
		return i, nil, fault.Conflict("image %s is %s and can't be a successor: activate it first", successor.Ref(), successor.State)
	case i.State == ImageDeprecated && i.Successor == successor.ID && i.Reason == reason:
		return i, nil, nil
	}
	i.State, i.Successor, i.Reason, i.Deprecated = ImageDeprecated, successor.ID, reason, now
	text := "deprecated"
	if !none {
		text += ": use " + successor.Version
	}
	if reason != "" {
		text += ": " + reason
	}
	return i, i.told(who, now, history.ImageDeprecated, "%s", text), nil
}

// Withdraw says that nothing may be made from the image any more. Its line may
// be without an active image after that: which one is good is for a person to say.
func (i Image) Withdraw(reason, who string, now time.Time) (Image, []history.Fact, error) {
	switch {
	case strings.TrimSpace(reason) == "" || len(reason) > MaxReasonBytes:
		return i, nil, fault.Invalid("reason", "must have 1 to %d bytes: people whose servers run it will read it", MaxReasonBytes)
	case i.State == ImageWithdrawn && i.Reason == reason:
		return i, nil, nil
	case i.State == ImageWithdrawn:
		return i, nil, fault.Conflict("image %s was withdrawn already (%s)", i.Ref(), i.Reason)
	}
	text := "withdrawn: " + reason
	if i.State == ImageActive {
		text += "; the channel has no active image now"
	}
	i.State, i.Reason, i.Withdrawn = ImageWithdrawn, reason, now
	return i, i.told(who, now, history.ImageWithdrawn, "%s", text), nil
}

func (i Image) told(who string, now time.Time, kind history.Kind, format string, args ...any) []history.Fact {
	return []history.Fact{{
		At: now, Who: who, Project: i.Project, Kind: kind,
		Text: fmt.Sprintf("image %s %s (%s) ", i.Channel, i.Version, i.Arch) + fmt.Sprintf(format, args...),
	}}
}

// LatestActive is the image that new servers of a channel are made from. The
// images are those that one owner may use: its own channel hides the
// platform's of the same name, as soon as an image of it is active.
func LatestActive(images []Image, channel, arch string) (latest Image, ok bool) {
	for _, i := range images {
		if i.Channel != channel || i.Arch != arch || i.State != ImageActive {
			continue
		}
		if !ok || latest.Public() && !i.Public() || latest.Public() == i.Public() && i.Activated.After(latest.Activated) {
			latest, ok = i, true
		}
	}
	return latest, ok
}

// Outdated reports whether who runs the image should go on to another one.
// active is the active image of its line; a zero one if there is none.
func (i Image) Outdated(active Image) bool {
	switch i.State {
	case ImageDeprecated, ImageWithdrawn:
		return true
	case ImageReleased: // one that was passed over, unless it is still to come
		return active.ID != "" && active.Released.After(i.Released)
	case ImageActive:
	}
	return false
}

// ImageRef is how people name an image: CHANNEL:VERSION, with @ARCH where that
// is needed; without a version the active one of the channel.
type ImageRef struct {
	Channel string
	Version string // empty: the active one
	Arch    string // empty: whichever there is only one of
}

// ParseImageRef reads a reference; field is to blame for what is none.
func ParseImageRef(field, text string) (r ImageRef, err error) {
	rest, arch, hasArch := strings.Cut(text, "@")
	channel, version, hasVersion := strings.Cut(rest, ":")
	if channelName.MatchString(channel) && channel != NoImage && hasArch == archName.MatchString(arch) && hasVersion == imageVersion.MatchString(version) {
		return ImageRef{Channel: channel, Version: version, Arch: arch}, nil
	}
	return r, fault.Invalid(field, "%q names no image: give an id, CHANNEL:VERSION or CHANNEL:VERSION@ARCH, such as debian-12:2026.11@amd64, or CHANNEL for its active one", text)
}

// Match reports whether i is meant.
func (r ImageRef) Match(i Image) bool {
	if r.Version == "" && i.State != ImageActive || r.Version != "" && i.Version != r.Version {
		return false
	}
	return i.Channel == r.Channel && (r.Arch == "" || i.Arch == r.Arch)
}
