-- Which records a signal skipped, as stretches of positions without a hole: one row for most outages.
CREATE TABLE skip (
  signal TEXT NOT NULL, lane INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (signal, lane, first)
) STRICT, WITHOUT ROWID;
