package store

import "upkeep/internal/fleet"

// Images are what servers are made from, and the channels that they come in.
// None of them is ever deleted: a server that runs one can always say which.
type Images interface {
	Image(id string) (fleet.Image, error)
	// Images lists, newest first.
	Images(f ImageFilter) ([]fleet.Image, error)
	// PutImage inserts (Revision 0) or replaces by compare-and-set, and returns
	// what is stored now. Conflict also if the line has that version, or
	// another active image, already.
	PutImage(i fleet.Image) (fleet.Image, error)
	// ImageUse counts the servers that are made from each image, by its id;
	// images without any are missing. Empty project: those of every project.
	ImageUse(project string) (map[string]int, error)

	Channel(project, name string) (fleet.Channel, error)
	// Channels lists, by name, those of a project and the platform's. Empty
	// project: those of every project.
	Channels(project string) ([]fleet.Channel, error)
	// PutChannel inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutChannel(c fleet.Channel) (fleet.Channel, error)
}

// ImageFilter selects images; empty fields select all.
type ImageFilter struct {
	Project string // the project's own and the platform's
	Channel string
	Arch    string
	Version string
	State   fleet.ImageState
	Before  string // only those released before the image of this id; ids grow with time
	Limit   int    // 0: all
}
