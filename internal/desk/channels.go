package desk

import (
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/store"
)

// ChannelSpec is what a caller says of a channel.
type ChannelSpec struct {
	Project     string // empty: the caller's own; the platform's if the caller is for every project
	Name        string
	Description string
	Cadence     fleet.Cadence // empty: fleet.Monthly
}

// PutChannel creates the channel of that name, or changes it. made tells which.
func (d *Desk) PutChannel(ctx context.Context, c Caller, s ChannelSpec) (out fleet.Channel, made bool, err error) {
	s.Project = c.scope(s.Project)
	if s.Cadence == "" {
		s.Cadence = fleet.Monthly
	}
	if err := c.mayChangeImages(s.Project); err != nil {
		return out, false, err
	}
	next := fleet.Channel{Project: s.Project, Name: s.Name, Description: s.Description, Cadence: s.Cadence}
	if err := next.Validate(); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("channel %+v", s), func(tx store.Tx) (string, error) {
		old, err := tx.Channel(s.Project, s.Name)
		if made = fault.Is(err, fault.KindNotFound); err != nil && !made {
			return "", err
		}
		verb := "created"
		next.Created, next.Revision = time.Now(), 0
		if !made {
			verb = "changed"
			next.Created, next.Revision = old.Created, old.Revision
		}
		if out, err = tx.PutChannel(next); err != nil {
			return "", err
		}
		return put("", made), tx.AddFacts(c.fact(s.Project, "", history.ChannelSet, "channel %s %s, cadence %s", s.Name, verb, s.Cadence))
	}, func(tx store.Tx, did string) error {
		_, made = wasPut(did)
		out, err = tx.Channel(s.Project, s.Name)
		return err
	})
	return out, made, err
}

// Channels lists the channels with their images, one line for each
// architecture, and how many servers are made from each image.
func (d *Desk) Channels(ctx context.Context, c Caller, project string) (lines []fleet.Line, use map[string]int, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		channels, err := tx.Channels(project)
		if err != nil {
			return err
		}
		images, err := tx.Images(store.ImageFilter{Project: project})
		if err != nil {
			return err
		}
		lines = fleet.Lines(channels, images, time.Now())
		use, err = tx.ImageUse(project)
		return err
	})
	return lines, use, err
}

// ServerImage is the image that a server was made from, and what it should be.
type ServerImage struct {
	Image    fleet.Image
	Outdated bool
	Instead  fleet.Image // the active image of its line; a zero one if there is none or it is this one
}

// ImageServers selects servers by what they were made from.
type ImageServers struct {
	Project string
	Image   string // an id, CHANNEL:VERSION[@ARCH], or CHANNEL[@ARCH] for all of its versions; empty: any
	Old     bool   // only those whose image is outdated
	After   string // only servers after this id
	Limit   int    // 1 to MaxPage; 0: MaxPage
}

// ServersByImage lists servers of which we know what they were made from, by id:
// those that run an image, or that still run an old one.
func (d *Desk) ServersByImage(ctx context.Context, c Caller, f ImageServers) (all []Server, err error) {
	project := c.scope(f.Project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	limit, err := page(f.Limit)
	if err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		ids, err := imagesMeant(tx, c, project, f)
		if err != nil {
			return err
		}
		targets, err := tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: project, Images: ids, After: f.After, Limit: limit})
		if err != nil {
			return err
		}
		all = nil
		for _, t := range targets {
			s, err := describe(tx, t)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return addImages(tx, all)
	})
	return all, err
}

// imagesMeant are the ids of the images that are asked for; never nil.
func imagesMeant(tx store.Tx, c Caller, project string, f ImageServers) ([]string, error) {
	images, err := tx.Images(store.ImageFilter{Project: project})
	if err != nil {
		return nil, err
	}
	meant := func(fleet.Image) bool { return true }
	if f.Image != "" {
		r, err := fleet.ParseImageRef("image", f.Image)
		if err != nil || r.Version != "" {
			i, err := findImage(tx, c, wanted{project: c.project(f.Project), field: "image", ref: f.Image})
			if err != nil {
				return nil, err
			}
			meant = func(o fleet.Image) bool { return o.ID == i.ID }
		} else {
			meant = func(o fleet.Image) bool {
				return o.ID == f.Image || o.Channel == r.Channel && (r.Arch == "" || o.Arch == r.Arch)
			}
		}
	}
	ids, found := []string{}, false
	for _, i := range images {
		if !meant(i) {
			continue
		}
		found = true
		if !f.Old || i.Outdated(activeOf(images, i)) {
			ids = append(ids, i.ID)
		}
	}
	if f.Image != "" && !found {
		return nil, fault.NotFound("image", f.Image)
	}
	return ids, nil
}

// activeOf is the active image of i's line; a zero one if there is none.
func activeOf(images []fleet.Image, i fleet.Image) fleet.Image {
	for _, o := range images {
		if o.State == fleet.ImageActive && o.Project == i.Project && o.Channel == i.Channel && o.Arch == i.Arch {
			return o
		}
	}
	return fleet.Image{}
}

// addImages says of servers what they were made from. It asks for each image
// and each line once, however many servers there are.
func addImages(tx store.Tx, all []Server) error {
	known := map[string]*ServerImage{}
	for n := range all {
		id := all[n].Target.Image
		if id == "" {
			continue
		}
		if known[id] == nil {
			i, err := tx.Image(id)
			if err != nil {
				return err
			}
			active, err := tx.Images(store.ImageFilter{Project: i.Project, Channel: i.Channel, Arch: i.Arch, State: fleet.ImageActive})
			if err != nil {
				return err
			}
			k := &ServerImage{Image: i, Instead: activeOf(active, i)}
			if k.Outdated = i.Outdated(k.Instead); !k.Outdated {
				k.Instead = fleet.Image{}
			}
			known[id] = k
		}
		all[n].Image = known[id]
	}
	return nil
}
