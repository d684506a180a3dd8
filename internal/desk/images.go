package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/store"
)

// Who may do what with images: an image without a project is the platform's;
// everybody sees it and only operators move it, for every project's new servers
// follow. A project's own image is seen in that project, and moved by whoever
// may write there. A project's own channel hides the platform's of the same
// name as soon as it has an active image.

// ImageSpec is what a caller says of a new image.
type ImageSpec struct {
	Project string // empty: the caller's own; the platform's if the caller is for every project
	Channel string
	Arch    string // empty: fleet.DefaultArch
	Version string
	Details fleet.ImageDetails
}

// ReleaseImage makes an image known, and its channel if it is the first one of it.
func (d *Desk) ReleaseImage(ctx context.Context, c Caller, s ImageSpec) (out fleet.Image, err error) {
	s.Project = c.scope(s.Project)
	if err := c.mayChangeImages(s.Project); err != nil {
		return out, err
	}
	err = d.once(ctx, c, fmt.Sprintf("image %+v", s), func(tx store.Tx) (string, error) {
		i, facts, err := fleet.Image{
			ID: d.newID(), Project: s.Project, Channel: s.Channel, Arch: s.Arch, Version: s.Version, Details: s.Details,
		}.Release(c.Who(), time.Now())
		if err != nil {
			return "", err
		}
		if err := isNewVersion(tx, i); err != nil {
			return "", err
		}
		opened, err := openChannel(tx, c, i)
		if err != nil {
			return "", err
		}
		if out, err = tx.PutImage(i); err != nil {
			return "", err
		}
		return out.ID, tx.AddFacts(append(opened, facts...))
	}, func(tx store.Tx, id string) error {
		out, err = tx.Image(id)
		return err
	})
	return out, err
}

func isNewVersion(tx store.Tx, i fleet.Image) error {
	same, err := tx.Images(store.ImageFilter{Project: i.Project, Channel: i.Channel, Arch: i.Arch, Version: i.Version})
	if err != nil {
		return err
	}
	for _, old := range same {
		if old.Project == i.Project {
			return fault.Conflict("image %s was released already, on %s, and is %s: what is new needs a new version", old.Ref(), old.Released.UTC().Format(time.DateOnly), old.State)
		}
	}
	return nil
}

// openChannel makes an image's channel known if it is not yet.
func openChannel(tx store.Tx, c Caller, i fleet.Image) ([]history.Fact, error) {
	_, err := tx.Channel(i.Project, i.Channel)
	if !fault.Is(err, fault.KindNotFound) {
		return nil, err
	}
	ch := fleet.Channel{Project: i.Project, Name: i.Channel, Cadence: fleet.Monthly, Created: time.Now()}
	if _, err := tx.PutChannel(ch); err != nil {
		return nil, err
	}
	return c.fact(i.Project, "", history.ChannelSet, "channel %s created, cadence %s", ch.Name, ch.Cadence), nil
}

// ActivateImage makes an image the one that new servers are made from. The one
// that was is deprecated.
func (d *Desk) ActivateImage(ctx context.Context, c Caller, project, ref string) (fleet.Image, error) {
	return d.moveImage(ctx, c, project, ref, "activate", func(tx store.Tx, i fleet.Image) ([]fleet.Image, []history.Fact, error) {
		line, err := tx.Images(store.ImageFilter{Project: i.Project, Channel: i.Channel, Arch: i.Arch})
		if err != nil {
			return nil, nil, err
		}
		return i.Activate(line, c.Who(), time.Now())
	})
}

// DeprecateImage says what to use instead of an image; an empty successor is
// none, and then the reason says why.
func (d *Desk) DeprecateImage(ctx context.Context, c Caller, project, ref, successor, reason string) (fleet.Image, error) {
	request := fmt.Sprintf("deprecate %q %q", successor, reason)
	return d.moveImage(ctx, c, project, ref, request, func(tx store.Tx, i fleet.Image) ([]fleet.Image, []history.Fact, error) {
		var next fleet.Image
		if successor != "" {
			var err error
			if next, err = findImage(tx, c, wanted{project: i.Project, field: "successor", ref: successor, arch: i.Arch}); err != nil {
				return nil, nil, blamed("successor", err)
			}
		}
		moved, facts, err := i.Deprecate(next, reason, c.Who(), time.Now())
		return []fleet.Image{moved}, facts, err
	})
}

// WithdrawImage says that nothing may be made from an image any more, and why.
func (d *Desk) WithdrawImage(ctx context.Context, c Caller, project, ref, reason string) (fleet.Image, error) {
	return d.moveImage(ctx, c, project, ref, "withdraw "+reason, func(_ store.Tx, i fleet.Image) ([]fleet.Image, []history.Fact, error) {
		moved, facts, err := i.Withdraw(reason, c.Who(), time.Now())
		return []fleet.Image{moved}, facts, err
	})
}

// moveImage lets f move an image, and writes what f says in its order.
func (d *Desk) moveImage(ctx context.Context, c Caller, project, ref, request string, f func(store.Tx, fleet.Image) ([]fleet.Image, []history.Fact, error)) (out fleet.Image, err error) {
	err = d.once(ctx, c, "image "+c.project(project)+" "+ref+" "+request, func(tx store.Tx) (string, error) {
		i, err := findImage(tx, c, wanted{project: c.project(project), field: "image", ref: ref, exactly: true})
		if err != nil {
			return "", err
		}
		if err := c.mayChangeImages(i.Project); err != nil {
			return "", err
		}
		changed, facts, err := f(tx, i)
		if err != nil {
			return "", err
		}
		if len(facts) > 0 { // else it was so already
			for _, one := range changed {
				if _, err := tx.PutImage(one); err != nil {
					return "", err
				}
			}
		}
		if out, err = tx.Image(i.ID); err != nil {
			return "", err
		}
		return i.ID, tx.AddFacts(facts)
	}, func(tx store.Tx, id string) error {
		out, err = tx.Image(id)
		return err
	})
	return out, err
}

// mayChangeImages says whether the caller may release and move images of a project.
func (c Caller) mayChangeImages(project string) error {
	if project != "" {
		return c.may(identity.Write, project, "project", project)
	}
	if c.May(identity.Admin, "") != nil {
		return fault.Denied("%s may not change images of the platform, which every project uses: that is for operators", c.Name)
	}
	return nil
}

// maySee says whether the caller may know of what belongs to an owner of images.
func (c Caller) maySee(owner string) bool {
	if owner == "" {
		owner = c.Project // the platform's is everybody's
	}
	return c.May(identity.Read, owner) == nil
}

// ImageFilter selects images; empty fields select all.
type ImageFilter struct {
	Project string // the project's own and the platform's
	Channel string
	Arch    string
	State   fleet.ImageState
	Before  string // only images released before the one of this id
	Limit   int    // 1 to MaxPage; 0: MaxPage
}

// Images lists, newest first: those of the platform, and those of the project,
// or of every project that the caller may see.
func (d *Desk) Images(ctx context.Context, c Caller, f ImageFilter) (all []fleet.Image, err error) {
	project := c.scope(f.Project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	if f.State != "" && !slices.Contains(fleet.ImageStates, f.State) {
		return nil, fault.Invalid("state", "must be one of %v, not %q", fleet.ImageStates, f.State)
	}
	limit, err := page(f.Limit)
	if err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = tx.Images(store.ImageFilter{Project: project, Channel: f.Channel, Arch: f.Arch, State: f.State, Before: f.Before, Limit: limit})
		return err
	})
	return all, err
}

// Image finds one by its id, by CHANNEL:VERSION or CHANNEL:VERSION@ARCH, or, by
// CHANNEL alone, its active one.
func (d *Desk) Image(ctx context.Context, c Caller, project, ref string) (i fleet.Image, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		i, err = findImage(tx, c, wanted{project: c.project(project), field: "image", ref: ref})
		return err
	})
	return i, err
}

// LatestImage is what a new server of the project is to be made from. arch may
// be left out where there is only one.
func (d *Desk) LatestImage(ctx context.Context, c Caller, project, channel, arch string) (i fleet.Image, err error) {
	if err := fleet.ValidChannel("channel", channel); err != nil {
		return i, err
	}
	ref := channel
	if arch != "" {
		if err := fleet.ValidArch("arch", arch); err != nil {
			return i, err
		}
		ref += "@" + arch
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		i, err = findImage(tx, c, wanted{project: c.project(project), field: "arch", ref: ref, noID: true})
		return err
	})
	return i, err
}

// ImageUse counts the servers made from each image, by its id: those of a
// project, or all that the caller may see.
func (d *Desk) ImageUse(ctx context.Context, c Caller, project string) (use map[string]int, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		use, err = tx.ImageUse(project)
		return err
	})
	return use, err
}

// wanted is an image that somebody has named.
type wanted struct {
	project string // whose own images go first
	field   string // to blame for what is ambiguous or can't be read
	ref     string
	arch    string // the one to take if several architectures have it; may be empty
	exactly bool   // a channel alone does not say which
	noID    bool
}

func findImage(tx store.Tx, c Caller, w wanted) (fleet.Image, error) {
	if !w.noID {
		i, err := tx.Image(w.ref)
		if err == nil && c.maySee(i.Project) {
			return i, nil
		}
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return i, err
		}
	}
	none := fleet.Image{}
	r, err := fleet.ParseImageRef(w.field, w.ref)
	if err != nil {
		return none, err
	}
	if !c.maySee(w.project) {
		return none, fault.NotFound("project", w.project)
	}
	all, err := tx.Images(store.ImageFilter{Project: w.project, Channel: r.Channel, Version: r.Version})
	if err != nil {
		return none, err
	}
	found := matching(all, r, w.project)
	if len(found) > 1 && w.arch != "" {
		r.Arch = w.arch
		found = matching(found, r, w.project)
	}
	switch {
	case r.Version == "" && w.exactly && len(all) > 0:
		return none, fault.Invalid(w.field, "%q names a channel: say which image of it, such as %s", w.ref, all[0].Ref())
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return none, fault.Invalid(w.field, "%q is there for several architectures: say which, such as %s", w.ref, found[0].Ref())
	case r.Version == "" && len(all) > 0:
		return none, &fault.Error{Kind: fault.KindNotFound, Reason: fmt.Sprintf("channel %q has no active image", w.ref)}
	}
	return none, fault.NotFound("image", w.ref)
}

// matching are those that are meant: a project's own hide the platform's.
func matching(all []fleet.Image, r fleet.ImageRef, project string) []fleet.Image {
	var own, public []fleet.Image
	for _, i := range all {
		switch {
		case !r.Match(i):
		case i.Project == project:
			own = append(own, i)
		default:
			public = append(public, i)
		}
	}
	if len(own) > 0 {
		return own
	}
	return public
}

// blamed says of what was not found where the caller had named it.
func blamed(field string, err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return fault.Invalid(field, "%s", strings.TrimPrefix(err.Error(), field+": "))
	}
	return err
}

// imageFor says which image a server is made from, by what a caller says of it.
// Nothing leaves it as it is: who does not know of images takes none away. A
// channel means its active image for a server that has none of that channel;
// one that has one runs that still, for nobody has installed it anew.
func imageFor(tx store.Tx, c Caller, t fleet.Target, ref string) (id string, err error) {
	switch ref {
	case "":
		return t.Image, nil
	case fleet.NoImage:
		return "", nil
	}
	if r, err := fleet.ParseImageRef("image", ref); err == nil && r.Version == "" && t.Image != "" {
		has, err := tx.Image(t.Image)
		if err != nil {
			return "", err
		}
		if has.Channel == r.Channel && (r.Arch == "" || has.Arch == r.Arch) {
			return t.Image, nil
		}
	}
	w := wanted{project: t.Project, field: "image", ref: ref}
	if t.Observed != nil {
		w.arch = t.Observed.Arch
	}
	i, err := findImage(tx, c, w)
	if err == nil && !i.Public() && i.Project != t.Project {
		err = fault.NotFound("image", ref)
	}
	return i.ID, blamed("image", err)
}
