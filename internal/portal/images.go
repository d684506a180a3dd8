package portal

import (
	"net/http"
	"net/url"
	"time"

	"upkeep/internal/fleet"
)

// imagesView is the page of all channels.
type imagesView struct {
	Channels []channelView
}

// channelView is a channel with its lines.
type channelView struct {
	Name, Project, Description string

	Cadence fleet.Cadence
	Lines   []lineView
}

// lineView is the images of a channel for one architecture.
type lineView struct {
	Arch    string
	Active  string // the version of the active image; empty: none
	Due     time.Time
	Overdue bool
	Servers int
	Behind  int        // servers whose image is outdated
	Shown   []imageRow // those that matter now
	Others  []imageRow // older ones that no server runs
}

// imageRow is one image in a list.
type imageRow struct {
	ID, Ref, Version, Name, Notes string

	State    fleet.ImageState
	Since    time.Time // when it came to be so
	Released time.Time
	Instead  string // the version to use instead; empty: this one, or there is none
	Reason   string
	Servers  int
	Outdated bool
}

// alwaysShown is how many of the newest images of a line are listed whether or
// not a server runs them.
const alwaysShown = 6

func (p *Portal) images(v *visit) error {
	lines, use, err := p.cfg.Desk.Channels(v.r.Context(), v.caller, "")
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, imagesPage(v, viewImages(lines, use)))
}

// viewImages puts lines under their channels, and apart what matters to nobody any more.
func viewImages(lines []fleet.Line, use map[string]int) imagesView {
	var view imagesView
	at := map[[2]string]int{}
	for _, l := range lines {
		key := [2]string{l.Channel.Project, l.Channel.Name}
		if _, ok := at[key]; !ok {
			at[key] = len(view.Channels)
			view.Channels = append(view.Channels, channelView{
				Name: l.Channel.Name, Project: l.Channel.Project, Description: l.Channel.Description, Cadence: l.Channel.Cadence,
			})
		}
		if l.Arch == "" {
			continue
		}
		ch := &view.Channels[at[key]]
		ch.Lines = append(ch.Lines, viewLine(l, use))
	}
	return view
}

func viewLine(l fleet.Line, use map[string]int) lineView {
	active, _ := l.Active()
	view := lineView{Arch: l.Arch, Active: active.Version, Due: l.Due, Overdue: l.Overdue}
	for n, i := range l.Images {
		row := imageRow{
			ID: i.ID, Ref: i.Ref(), Version: i.Version, Name: i.Details.Name, Notes: i.Details.Notes, State: i.State, Since: since(i),
			Released: i.Released, Reason: i.Reason, Servers: use[i.ID], Outdated: i.Outdated(active),
		}
		view.Servers += row.Servers
		if row.Outdated {
			row.Instead = active.Version
			view.Behind += row.Servers
		}
		if n < alwaysShown || row.Servers > 0 || i.State == fleet.ImageActive {
			view.Shown = append(view.Shown, row)
		} else {
			view.Others = append(view.Others, row)
		}
	}
	return view
}

// since is when an image came to be in its state.
func since(i fleet.Image) time.Time {
	switch i.State {
	case fleet.ImageActive:
		return i.Activated
	case fleet.ImageDeprecated:
		return i.Deprecated
	case fleet.ImageWithdrawn:
		return i.Withdrawn
	case fleet.ImageReleased:
	}
	return i.Released
}

// imageLook is the glyph of an image's state.
func imageLook(s fleet.ImageState) string {
	switch s {
	case fleet.ImageActive:
		return "done"
	case fleet.ImageDeprecated:
		return "warning"
	case fleet.ImageWithdrawn:
		return "failed"
	case fleet.ImageReleased:
	}
	return "todo"
}

// serversOfImage is the address of the list of servers that were made from an image.
func serversOfImage(id string) string { return "/servers?image=" + url.QueryEscape(id) }
