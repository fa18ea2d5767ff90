-- Sums by what started a run, by the size of its machine and by its branch, of stretches that are over, so that pages which ask
-- for one of them do not read every run of their window. Nothing is filled here: store/cuts.py adds them up bit by bit.
-- hours: length of the stretch, 6 (jobs alone), 24, 96 or 384; bucket: its number since the epoch. cut: 1 trigger, 2 size of the
-- machine (jobs alone), 3 branch; value: which one, 0 for none. Of workflows there is a row for each name, of jobs one for
-- each project, where run is 0.
-- Stretches of sums (0012) have rows of all of a project by class of branches too: wide 3. So they are added up again.
DELETE FROM span_built;
CREATE TABLE rollup_cut (
  hours INTEGER NOT NULL, bucket INTEGER NOT NULL, kind INTEGER NOT NULL, cut INTEGER NOT NULL, project INTEGER NOT
  NULL, value INTEGER NOT NULL, run INTEGER NOT NULL, class INTEGER NOT NULL,
  n INTEGER NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, errors INTEGER NOT NULL, canceled INTEGER NOT
  NULL, skipped INTEGER NOT NULL, reruns INTEGER NOT NULL, credits INTEGER NOT NULL, estimated INTEGER NOT NULL, duration_ok_ms INTEGER NOT
  NULL, timed_ok INTEGER NOT NULL, duration_ms INTEGER NOT NULL, timed INTEGER NOT NULL, queue_ms INTEGER NOT NULL,
  queued INTEGER NOT NULL, hold_ms INTEGER NOT NULL, held INTEGER NOT NULL,
  duration_ok BLOB, duration_failed BLOB, queue BLOB, hold BLOB,
  PRIMARY KEY (hours, bucket, kind, cut, project, value, run, class)
) STRICT, WITHOUT ROWID;
-- As span_built, but taken away by more: by whatever may change what a run is counted under.
CREATE TABLE cut_built (
  hours INTEGER NOT NULL, bucket INTEGER NOT NULL, upto INTEGER NOT NULL, PRIMARY KEY (hours, bucket)
) STRICT, WITHOUT ROWID;
