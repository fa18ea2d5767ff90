-- Sums of several days, of all jobs of a workflow, of a project, so that a month is not read day by day. Nothing is filled here:
-- store/spans.py adds them up bit by bit while the daemon runs, and answers are the same without them.
-- hours: length of the stretch, 6, 24, 96 or 384; bucket: its number since the epoch. wide 1: all jobs of a workflow in one
-- row, job 0; wide 2: all of a project, of every class of branches, which are 0 too.
CREATE TABLE rollup_span (
  hours INTEGER NOT NULL, bucket INTEGER NOT NULL, kind INTEGER NOT NULL, wide INTEGER NOT NULL, project INTEGER NOT
  NULL, run INTEGER NOT NULL, job INTEGER NOT NULL, class INTEGER NOT NULL,
  n INTEGER NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, errors INTEGER NOT NULL, canceled INTEGER NOT
  NULL, skipped INTEGER NOT NULL, reruns INTEGER NOT NULL, credits INTEGER NOT NULL, estimated INTEGER NOT NULL, duration_ok_ms INTEGER NOT
  NULL, timed_ok INTEGER NOT NULL, duration_ms INTEGER NOT NULL, timed INTEGER NOT NULL, queue_ms INTEGER NOT NULL,
  queued INTEGER NOT NULL, hold_ms INTEGER NOT NULL, held INTEGER NOT NULL,
  duration_ok BLOB, duration_failed BLOB, queue BLOB, hold BLOB,
  PRIMARY KEY (hours, bucket, kind, wide, project, run, job, class)
) STRICT, WITHOUT ROWID;
-- upto: projects with a number up to this are in it; the greatest number there is: whole. A stretch in which a fact
-- changes is no longer here, and added up again later.
CREATE TABLE span_built (
  hours INTEGER NOT NULL, bucket INTEGER NOT NULL, upto INTEGER NOT NULL, PRIMARY KEY (hours, bucket)
) STRICT, WITHOUT ROWID;
-- Branches of a project, one by one, without reading its runs.
CREATE INDEX workflow_branch ON workflow (_project, ref_name, stopped_at) WHERE _terminal;
