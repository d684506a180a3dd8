-- What users of services saw while runs were open on them. kept is 0 once a
-- run's seconds are forgotten; their sum stays in doc.
CREATE TABLE watches (
  run   TEXT COLLATE "C" PRIMARY KEY,
  began BIGINT NOT NULL,
  kept  BIGINT NOT NULL,
  doc   TEXT NOT NULL
);
CREATE INDEX watches_began ON watches (began) WHERE kept = 1;

CREATE TABLE seconds (
  run        TEXT COLLATE "C" NOT NULL,
  at         BIGINT NOT NULL,
  endpoint   TEXT COLLATE "C" NOT NULL,
  span       BIGINT NOT NULL,
  answered   BIGINT NOT NULL,
  unanswered BIGINT NOT NULL,
  failed     BIGINT NOT NULL,
  slow       BIGINT NOT NULL,
  skipped    BIGINT NOT NULL,
  p50        BIGINT NOT NULL,
  p99        BIGINT NOT NULL,
  why        TEXT NOT NULL,
  PRIMARY KEY (run, at, endpoint)
);
