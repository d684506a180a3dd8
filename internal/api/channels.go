package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// Channel is a series of images of one system.
type Channel struct {
	Project     string        `json:"project,omitempty" doc:"Whose it is; missing: the platform's." example:"default"`
	Name        string        `json:"name" doc:"Unique in its project." example:"debian-12"`
	Description string        `json:"description,omitempty" doc:"What it is." example:"Debian 12 with our monitoring"`
	Cadence     Cadence       `json:"cadence" doc:"How often it gets a new image." example:"monthly"`
	Created     time.Time     `json:"created" doc:"When it was made known."`
	Revision    int64         `json:"revision" doc:"Counts its changes; 1 when it is new." example:"1"`
	Lines       []ChannelLine `json:"lines" doc:"Its images, by architecture."`
}

// ChannelLine is the images of a channel for one architecture.
type ChannelLine struct {
	Arch       string      `json:"arch" doc:"The architecture." example:"amd64"`
	Active     *ImageBrief `json:"active,omitempty" doc:"The image that new servers are made from; missing if there is none."`
	Images     int         `json:"images" doc:"How many images there are, in all states." example:"12"`
	Servers    int         `json:"servers" doc:"How many servers that the caller may see were made from one of them." example:"40"`
	OldServers int         `json:"oldServers" doc:"How many of these run an image that is outdated." example:"3"`
	Due        time.Time   `json:"due,omitzero" doc:"Until when the next release is due; missing if none is."`
	Overdue    bool        `json:"overdue" doc:"Whether it should have been released by now."`
}

// ChannelList is all channels.
type ChannelList struct {
	Items []Channel `json:"items" doc:"The channels, by name."`
}

// ChannelInput is what a caller says of a channel.
type ChannelInput struct {
	Project     string  `json:"project,omitempty" maxLength:"63" doc:"Whose it is; the token's own project if left out, and the platform's if the token is for every project." example:"default"`
	Description string  `json:"description,omitempty" maxLength:"1024" doc:"What it is." example:"Debian 12 with our monitoring"`
	Cadence     Cadence `json:"cadence,omitempty" doc:"How often it gets a new image; monthly if left out." example:"monthly"`
}

type (
	listChannelsIn  struct{ InProject }
	listChannelsOut struct{ Body ChannelList }
	putChannelIn    struct {
		Name string `path:"channel" maxLength:"63" doc:"The channel's name." example:"debian-12"`
		Keyed
		Body ChannelInput
	}
	putChannelOut struct {
		Status int
		Body   Channel
	}
	latestImageIn struct {
		Name string `path:"channel" maxLength:"63" doc:"The channel's name." example:"debian-12"`
		Arch string `query:"arch" maxLength:"20" doc:"The architecture; may be left out where there is only one."`
		InProject
	}
)

func (d *door) channels() {
	register(d, op{
		id: "listChannels", call: "GET /v1/channels", scope: identity.Read, tag: "images",
		summary:     "List channels",
		description: "Lists the platform's channels and the project's own: which image is active, how many servers run an old one, and whether a release is overdue.",
	}, d.listChannels)
	register(d, op{
		id: "putChannel", call: "PUT /v1/channels/{channel}", scope: identity.Write, tag: "images",
		summary:     "Create or replace a channel",
		description: "Says what a channel is and how often it gets a new image. A project's own channel hides the platform's of the same name as soon as it has an active image. Channels of the platform are for operators.",
		made:        "It was created.",
	}, d.putChannel)
	register(d, op{
		id: "latestImage", call: "GET /v1/channels/{channel}/latest", scope: identity.Read, tag: "images",
		summary:     "Show a channel's active image",
		description: "Shows the image that a new server is to be made from. It is not found while the channel has no active image.",
	}, d.latestImage)
}

func (d *door) listChannels(ctx context.Context, c desk.Caller, in *listChannelsIn) (*listChannelsOut, error) {
	lines, use, err := d.desk.Channels(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listChannelsOut{ChannelList{Items: channelsOf(lines, use)}}, nil
}

func (d *door) putChannel(ctx context.Context, c desk.Caller, in *putChannelIn) (*putChannelOut, error) {
	ch, made, err := d.desk.PutChannel(ctx, c, desk.ChannelSpec{
		Project: in.Body.Project, Name: in.Name, Description: in.Body.Description, Cadence: fleet.Cadence(in.Body.Cadence),
	})
	if err != nil {
		return nil, err
	}
	lines, use, err := d.desk.Channels(ctx, c, ch.Project)
	if err != nil {
		return nil, err
	}
	out := channelOf(ch)
	for _, one := range channelsOf(lines, use) {
		if one.Name == ch.Name && one.Project == ch.Project {
			out = one
		}
	}
	return &putChannelOut{created(made), out}, nil
}

func (d *door) latestImage(ctx context.Context, c desk.Caller, in *latestImageIn) (*imageOut, error) {
	i, err := d.desk.LatestImage(ctx, c, in.Project, in.Name, in.Arch)
	return d.tellImage(ctx, c, in.Project, i, err)
}

func channelOf(ch fleet.Channel) Channel {
	return Channel{
		Project: ch.Project, Name: ch.Name, Description: ch.Description, Cadence: Cadence(ch.Cadence),
		Created: ch.Created.UTC(), Revision: ch.Revision, Lines: []ChannelLine{},
	}
}

// channelsOf puts lines under their channels.
func channelsOf(lines []fleet.Line, use map[string]int) []Channel {
	all := []Channel{}
	at := map[[2]string]int{}
	for _, l := range lines {
		key := [2]string{l.Channel.Project, l.Channel.Name}
		if _, ok := at[key]; !ok {
			at[key] = len(all)
			all = append(all, channelOf(l.Channel))
		}
		if l.Arch == "" {
			continue
		}
		active, _ := l.Active()
		w := ChannelLine{Arch: l.Arch, Active: briefOf(active), Images: len(l.Images), Due: l.Due, Overdue: l.Overdue}
		for _, i := range l.Images {
			w.Servers += use[i.ID]
			if i.Outdated(active) {
				w.OldServers += use[i.ID]
			}
		}
		ch := &all[at[key]]
		ch.Lines = append(ch.Lines, w)
	}
	return all
}
