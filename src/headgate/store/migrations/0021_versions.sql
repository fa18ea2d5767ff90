-- What says whether sums of a stretch are the same as before (store/notedsums.py): each note that is put has a version of its own.
ALTER TABLE span_built ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cut_built ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
DELETE FROM counter WHERE name = 'notes:taken';
-- The newest failed jobs are found without looking every job up.
DROP INDEX job_end;
CREATE INDEX job_end ON job (stopped_at, _project, status) WHERE _terminal;
