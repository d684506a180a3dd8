-- Both databases read this file. Times are microseconds since 1970, 0 for none.
-- Identifiers are compared byte by byte, as Go does: hence the collation.

CREATE TABLE targets (
  id         TEXT COLLATE "C" PRIMARY KEY,
  project    TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  grp        TEXT COLLATE "C" NOT NULL,
  generation BIGINT NOT NULL,
  revision   BIGINT NOT NULL,
  doc        TEXT NOT NULL,
  observed   TEXT,
  UNIQUE (project, name)
);
CREATE INDEX targets_project ON targets (project, id);
CREATE INDEX targets_grp ON targets (grp, id);

CREATE TABLE schedules (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  target   TEXT COLLATE "C" NOT NULL REFERENCES targets (id) ON DELETE CASCADE,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL,
  UNIQUE (target, name)
);
CREATE INDEX schedules_project ON schedules (project, id);
CREATE INDEX schedules_target ON schedules (target, id);

CREATE TABLE freezes (
  id      TEXT COLLATE "C" PRIMARY KEY,
  project TEXT COLLATE "C" NOT NULL,
  starts  BIGINT NOT NULL,
  ends    BIGINT NOT NULL,
  doc     TEXT NOT NULL
);
CREATE INDEX freezes_ends ON freezes (ends);

CREATE TABLE runs (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  target   TEXT COLLATE "C" NOT NULL,
  schedule TEXT COLLATE "C" NOT NULL,
  ended    BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX runs_project ON runs (project, id);
CREATE INDEX runs_target ON runs (target, id);
CREATE INDEX runs_schedule ON runs (schedule, id);
CREATE INDEX runs_open ON runs (id) WHERE ended = 0;

CREATE TABLE claims (
  key TEXT COLLATE "C" PRIMARY KEY,
  run TEXT COLLATE "C" NOT NULL
);
CREATE INDEX claims_run ON claims (run, key);

CREATE TABLE orders (
  key         TEXT COLLATE "C" PRIMARY KEY,
  run         TEXT COLLATE "C" NOT NULL,
  target      TEXT COLLATE "C" NOT NULL REFERENCES targets (id) ON DELETE CASCADE,
  generation  BIGINT NOT NULL,
  handed_at   BIGINT NOT NULL,
  answered_at BIGINT NOT NULL,
  doc         TEXT NOT NULL,
  result      TEXT
);
CREATE INDEX orders_run ON orders (run, key);
CREATE INDEX orders_target ON orders (target);
CREATE INDEX orders_open ON orders (target, generation) WHERE result IS NULL;

CREATE TABLE facts (
  seq     BIGINT PRIMARY KEY,
  at      BIGINT NOT NULL,
  who     TEXT COLLATE "C" NOT NULL,
  project TEXT COLLATE "C" NOT NULL,
  target  TEXT COLLATE "C" NOT NULL,
  run     TEXT COLLATE "C" NOT NULL,
  step    TEXT COLLATE "C" NOT NULL,
  kind    TEXT COLLATE "C" NOT NULL,
  text    TEXT NOT NULL
);
CREATE INDEX facts_project ON facts (project, seq);
CREATE INDEX facts_target ON facts (target, seq);
CREATE INDEX facts_run ON facts (run, seq);

-- The queue. owner is empty unless the key is leased; ready_at is when the key
-- may be claimed: when it is due, or when its lease ends.
CREATE TABLE work (
  key      TEXT COLLATE "C" PRIMARY KEY,
  ready_at BIGINT NOT NULL,
  owner    TEXT COLLATE "C" NOT NULL,
  fence    BIGINT NOT NULL,
  wake_seq BIGINT NOT NULL
);
CREATE INDEX work_ready ON work (ready_at, key);

CREATE TABLE tokens (
  id      TEXT COLLATE "C" PRIMARY KEY,
  hash    TEXT COLLATE "C" NOT NULL UNIQUE,
  name    TEXT COLLATE "C" NOT NULL,
  role    TEXT COLLATE "C" NOT NULL,
  project TEXT COLLATE "C" NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL
);

CREATE TABLE enrolments (
  hash    TEXT COLLATE "C" PRIMARY KEY,
  target  TEXT COLLATE "C" NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  used    BIGINT NOT NULL,
  key     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX enrolments_target ON enrolments (target);

CREATE TABLE agents (
  target    TEXT COLLATE "C" PRIMARY KEY,
  key       TEXT COLLATE "C" NOT NULL,
  version   TEXT COLLATE "C" NOT NULL,
  last_seen BIGINT NOT NULL,
  expires   BIGINT NOT NULL
);

-- sealed is base64: the databases write bytes differently.
CREATE TABLE secrets (
  name   TEXT COLLATE "C" PRIMARY KEY,
  sealed TEXT NOT NULL
);

CREATE TABLE requests (
  who         TEXT COLLATE "C" NOT NULL,
  key         TEXT COLLATE "C" NOT NULL,
  fingerprint TEXT COLLATE "C" NOT NULL,
  made        TEXT COLLATE "C" NOT NULL,
  at          BIGINT NOT NULL,
  PRIMARY KEY (who, key)
);
CREATE INDEX requests_at ON requests (at);
