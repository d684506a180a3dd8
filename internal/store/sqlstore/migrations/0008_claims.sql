-- What is held, by whom and whose it is. run is the id of a run, or of a hold.
ALTER TABLE claims ADD COLUMN project TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE claims SET project = COALESCE((SELECT project FROM runs WHERE runs.id = claims.run), '');

CREATE TABLE holds (
  id      TEXT COLLATE "C" PRIMARY KEY,
  project TEXT COLLATE "C" NOT NULL,
  doc     TEXT NOT NULL
);
CREATE INDEX holds_project ON holds (project, id);

-- Which servers services have members on, by the servers' names.
CREATE TABLE service_members (
  service TEXT COLLATE "C" NOT NULL REFERENCES targets (id) ON DELETE CASCADE,
  project TEXT COLLATE "C" NOT NULL,
  server  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (service, server)
);
CREATE INDEX service_members_server ON service_members (project, server);
