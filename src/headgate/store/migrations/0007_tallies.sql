-- One row per bucket and place, with all sums and with its sketches as bytes (store/sketches.py): a month of 2,000 groups
-- was millions of rows of sketches. Sums that rollups did not keep are filled from facts afterwards (store/upgrade.py).

-- From which hour on hourly sums are whole (older ones were deleted, and late facts may have begun some of them anew), and
-- since when every fact is kept: before that, sums know more than facts do.
INSERT OR REPLACE INTO counter (name, n)
  SELECT 'kept:hours', 24 * (1 + max(d.bucket)) FROM (SELECT bucket, sum(n) AS n FROM rollup_day GROUP BY bucket) d
  LEFT JOIN (SELECT bucket / 24 AS bucket, sum(n) AS n FROM rollup_hour GROUP BY 1) h ON h.bucket = d.bucket
  WHERE coalesce(h.n, 0) != d.n HAVING max(d.bucket) IS NOT NULL;
INSERT OR REPLACE INTO counter (name, n)
  SELECT 'kept:facts', 86400000 * (1 + max(d.bucket))
  FROM (SELECT bucket, sum(n) AS n FROM rollup_day WHERE kind = 1 GROUP BY bucket) d
  LEFT JOIN (
    SELECT stopped_at / 86400000 AS bucket, count(*) AS n FROM workflow WHERE _terminal AND stopped_at IS NOT NULL GROUP BY 1
  ) f ON f.bucket = d.bucket WHERE coalesce(f.n, 0) != d.n HAVING max(d.bucket) IS NOT NULL;

CREATE TABLE rollup_hour_new (
  bucket INTEGER NOT NULL, kind INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  class INTEGER NOT NULL,
  n INTEGER NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, errors INTEGER NOT NULL, canceled INTEGER NOT
  NULL, skipped INTEGER NOT NULL, reruns INTEGER NOT NULL, credits INTEGER NOT NULL, estimated INTEGER NOT NULL, duration_ok_ms INTEGER NOT
  NULL, timed_ok INTEGER NOT NULL, duration_ms INTEGER NOT NULL, timed INTEGER NOT NULL, queue_ms INTEGER NOT NULL,
  queued INTEGER NOT NULL, hold_ms INTEGER NOT NULL, held INTEGER NOT NULL,
  duration_ok BLOB, duration_failed BLOB, queue BLOB, hold BLOB,
  PRIMARY KEY (bucket, kind, project, run, job, class)
) STRICT, WITHOUT ROWID;
INSERT INTO rollup_hour_new
  SELECT bucket, kind, project, run, job, class, n, ok, failed, 0, canceled, 0, 0, credits, 0, 0,
    coalesce((SELECT sum(s.n) FROM sketch_hour s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 0), 0), duration_ms,
    coalesce((SELECT sum(s.n) FROM sketch_hour s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure IN (0, 1)), 0), queue_ms,
    coalesce((SELECT sum(s.n) FROM sketch_hour s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 2), 0), 0, 0,
    (SELECT pack_bins(s.bin, s.n) FROM sketch_hour s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 0),
    (SELECT pack_bins(s.bin, s.n) FROM sketch_hour s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 1),
    (SELECT pack_bins(s.bin, s.n) FROM sketch_hour s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 2), NULL
  FROM rollup_hour r
  WHERE bucket >= coalesce((SELECT n FROM counter WHERE name = 'kept:hours'), 0);
DROP TABLE rollup_hour;
DROP TABLE sketch_hour;
ALTER TABLE rollup_hour_new RENAME TO rollup_hour;

CREATE TABLE rollup_day_new (
  bucket INTEGER NOT NULL, kind INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  class INTEGER NOT NULL,
  n INTEGER NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, errors INTEGER NOT NULL, canceled INTEGER NOT
  NULL, skipped INTEGER NOT NULL, reruns INTEGER NOT NULL, credits INTEGER NOT NULL, estimated INTEGER NOT NULL, duration_ok_ms INTEGER NOT
  NULL, timed_ok INTEGER NOT NULL, duration_ms INTEGER NOT NULL, timed INTEGER NOT NULL, queue_ms INTEGER NOT NULL,
  queued INTEGER NOT NULL, hold_ms INTEGER NOT NULL, held INTEGER NOT NULL,
  duration_ok BLOB, duration_failed BLOB, queue BLOB, hold BLOB,
  PRIMARY KEY (bucket, kind, project, run, job, class)
) STRICT, WITHOUT ROWID;
INSERT INTO rollup_day_new
  SELECT bucket, kind, project, run, job, class, n, ok, failed, 0, canceled, 0, 0, credits, 0, 0,
    coalesce((SELECT sum(s.n) FROM sketch_day s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 0), 0), duration_ms,
    coalesce((SELECT sum(s.n) FROM sketch_day s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure IN (0, 1)), 0), queue_ms,
    coalesce((SELECT sum(s.n) FROM sketch_day s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 2), 0), 0, 0,
    (SELECT pack_bins(s.bin, s.n) FROM sketch_day s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 0),
    (SELECT pack_bins(s.bin, s.n) FROM sketch_day s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 1),
    (SELECT pack_bins(s.bin, s.n) FROM sketch_day s WHERE s.bucket = r.bucket AND s.kind = r.kind AND s.project = r.project AND s.run = r.run AND s.job = r.job AND s.class = r.class
    AND s.measure = 2), NULL
  FROM rollup_day r;
DROP TABLE rollup_day;
DROP TABLE sketch_day;
ALTER TABLE rollup_day_new RENAME TO rollup_day;

-- Tallies read facts by their end and need the rest of the row; series read the newest of one name; tests and steps are
-- counted a project at a time.
DROP INDEX workflow_end;
DROP INDEX job_end;
CREATE INDEX workflow_end ON workflow (stopped_at, _project) WHERE _terminal;
CREATE INDEX job_end ON job (stopped_at, _project) WHERE _terminal;
DROP INDEX test_result_end;
DROP INDEX step_end;
CREATE INDEX test_result_end ON test_result (_project, stopped_at);
CREATE INDEX step_end ON step (_project, stopped_at, status);
CREATE INDEX workflow_series ON workflow (_project, name, _class, stopped_at, status) WHERE _terminal;
CREATE INDEX job_series ON job (_project, _run, name, _class, stopped_at, status) WHERE _terminal;
