-- What servers are made from. Versions are unique in their line, which is a
-- channel for one architecture, and one image of a line is active at most.
CREATE TABLE images (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  channel  TEXT COLLATE "C" NOT NULL,
  arch     TEXT COLLATE "C" NOT NULL,
  version  TEXT COLLATE "C" NOT NULL,
  state    TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL,
  UNIQUE (project, channel, arch, version)
);
CREATE UNIQUE INDEX images_active ON images (project, channel, arch) WHERE state = 'active';

CREATE TABLE channels (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX channels_name ON channels (name, project);

ALTER TABLE targets ADD COLUMN image TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX targets_image ON targets (image, id);
