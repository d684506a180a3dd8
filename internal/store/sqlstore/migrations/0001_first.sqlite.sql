-- What has been numbered so far. PostgreSQL has sequences for that.
CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('facts', 0), ('fences', 0);
