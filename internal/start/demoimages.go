package start

import (
	"context"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
)

// demoChannel holds examples: no such images exist, and what this machine was
// made from nobody knows.
const demoChannel = "example-debian-12"

// demoImages makes some images known, so that the portal's page has something
// to show. Each says of itself that it is an example.
func demoImages(ctx context.Context, d *desk.Desk) error {
	_, _, err := d.PutChannel(ctx, demoUser, desk.ChannelSpec{Name: demoChannel, Description: "Example data of the demo: there are no such images."})
	if err != nil {
		return err
	}
	for _, version := range []string{"example.1", "example.2", "example.3"} {
		i, err := d.ReleaseImage(ctx, demoUser, desk.ImageSpec{
			Channel: demoChannel, Version: version,
			Details: fleet.ImageDetails{Name: "Example, not a real image", Distro: "debian", OSVersion: "12", Notes: "Example data of the demo"},
		})
		if err != nil {
			return err
		}
		if version == "example.3" {
			break // released, and not yet active
		}
		if _, err := d.ActivateImage(ctx, demoUser, "", i.ID); err != nil {
			return err
		}
	}
	return nil
}
