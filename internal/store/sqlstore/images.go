package sqlstore

import (
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
)

type imageDoc struct {
	fleet.Image
	Revision absent `json:",omitempty"`
}

type channelDoc struct {
	fleet.Channel
	Revision absent `json:",omitempty"`
}

const selectImage = `SELECT doc, revision FROM images`

func scanImage(row scanner) (fleet.Image, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return fleet.Image{}, err
	}
	var d imageDoc
	err := decode(text, &d)
	i := d.Image
	i.Revision = revision
	return i, err
}

// Image implements store.Images.
func (t *tx) Image(id string) (fleet.Image, error) {
	return one(t, "image", id, selectImage+` WHERE id = $1`, []any{id}, scanImage)
}

// Images implements store.Images.
func (t *tx) Images(f store.ImageFilter) ([]fleet.Image, error) {
	var w filter
	if f.Project != "" {
		w.add("(project = '' OR project = ?)", f.Project)
	}
	w.equal("channel", f.Channel)
	w.equal("arch", f.Arch)
	w.equal("version", f.Version)
	w.equal("state", string(f.State))
	if f.Before != "" {
		w.add("id < ?", f.Before)
	}
	return list(t, "list images", w.query(selectImage, "id DESC", f.Limit), w.args, scanImage)
}

// PutImage implements store.Images. That no two images of a line are active is
// also an index of the table, so that it holds whoever writes.
func (t *tx) PutImage(i fleet.Image) (fleet.Image, error) {
	none := fleet.Image{}
	doc, err := encode(imageDoc{Image: i})
	if err != nil {
		return none, fault.Internal("write image", err)
	}
	if err := t.free("image", i.Ref(), `SELECT id FROM images WHERE project = $1 AND channel = $2 AND arch = $3 AND version = $4 AND id <> $5`,
		i.Project, i.Channel, i.Arch, i.Version, i.ID); err != nil {
		return none, err
	}
	if i.State == fleet.ImageActive {
		other := ""
		found, err := t.get("look for image", `SELECT version FROM images WHERE project = $1 AND channel = $2 AND arch = $3 AND state = $4 AND id <> $5`,
			[]any{i.Project, i.Channel, i.Arch, string(fleet.ImageActive), i.ID}, &other)
		if err == nil && found {
			err = fault.Conflict("image %s can't be active beside %s", i.Ref(), other)
		}
		if err != nil {
			return none, err
		}
	}
	args := []any{i.ID, i.Project, i.Channel, i.Arch, i.Version, string(i.State), doc}
	insert := `INSERT INTO images (id, project, channel, arch, version, state, doc, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 1) ON CONFLICT (id) DO NOTHING`
	update := `UPDATE images SET project = $2, channel = $3, arch = $4, version = $5, state = $6, doc = $7, revision = revision + 1
		WHERE id = $1 AND revision = $8`
	if err := t.put("image", i.ID, i.Revision, insert, update, args); err != nil {
		return none, err
	}
	return t.Image(i.ID)
}

// ImageUse implements store.Images.
func (t *tx) ImageUse(project string) (map[string]int, error) {
	query, args := `SELECT image, COUNT(*) FROM targets WHERE image <> '' GROUP BY image`, []any(nil)
	if project != "" {
		query, args = `SELECT image, COUNT(*) FROM targets WHERE image <> '' AND project = $1 GROUP BY image`, []any{project}
	}
	use := map[string]int{}
	return use, t.each("count servers", query, args, func(row scanner) error {
		var image string
		var n int
		err := row.Scan(&image, &n)
		use[image] = n
		return err
	})
}

const selectChannel = `SELECT doc, revision FROM channels`

func scanChannel(row scanner) (fleet.Channel, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return fleet.Channel{}, err
	}
	var d channelDoc
	err := decode(text, &d)
	c := d.Channel
	c.Revision = revision
	return c, err
}

// channelID is a channel's row: neither part of it can have a slash.
func channelID(project, name string) string { return project + "/" + name }

// Channel implements store.Images.
func (t *tx) Channel(project, name string) (fleet.Channel, error) {
	return one(t, "channel", name, selectChannel+` WHERE id = $1`, []any{channelID(project, name)}, scanChannel)
}

// Channels implements store.Images.
func (t *tx) Channels(project string) ([]fleet.Channel, error) {
	var w filter
	if project != "" {
		w.add("(project = '' OR project = ?)", project)
	}
	return list(t, "list channels", w.query(selectChannel, "name, project", 0), w.args, scanChannel)
}

// PutChannel implements store.Images.
func (t *tx) PutChannel(c fleet.Channel) (fleet.Channel, error) {
	none := fleet.Channel{}
	doc, err := encode(channelDoc{Channel: c})
	if err != nil {
		return none, fault.Internal("write channel", err)
	}
	id := channelID(c.Project, c.Name)
	insert := `INSERT INTO channels (id, project, name, doc, revision) VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE channels SET project = $2, name = $3, doc = $4, revision = revision + 1 WHERE id = $1 AND revision = $5`
	if err := t.put("channel", id, c.Revision, insert, update, []any{id, c.Project, c.Name, doc}); err != nil {
		return none, err
	}
	return t.Channel(c.Project, c.Name)
}

var _ store.Images = (*tx)(nil)
