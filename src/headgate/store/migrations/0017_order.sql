-- From red to green and back, of each workflow (run) and branch (ref) of a project, 0 where it has no name: what the order of
-- runs tells, so that nobody reads all of them again. Nothing is filled here: store/outages.py adds to it bit by bit. began,
-- last: end of the first and of the last failed run; ended: of the success after them, NULL until then; green, green_last: end
-- and last failed run of the outage before it. class: of the branch.
CREATE TABLE outage (
  project INTEGER NOT NULL, run INTEGER NOT NULL, ref INTEGER NOT NULL, id INTEGER NOT NULL, class INTEGER NOT NULL,
  began INTEGER NOT NULL, last INTEGER NOT NULL, ended INTEGER, green INTEGER, green_last INTEGER,
  PRIMARY KEY (project, run, ref, id)
) STRICT, WITHOUT ROWID;
-- Runs of a project that ended before upto are in it. A run that changes or comes before that moves it back, in the same
-- transaction, whoever changes it. mixed: some branch has runs of both classes, as a tag of its name has.
CREATE TABLE outage_upto (project INTEGER PRIMARY KEY, upto INTEGER NOT NULL, mixed INTEGER NOT NULL) STRICT;
CREATE TRIGGER outage_run_came AFTER INSERT ON workflow WHEN new.stopped_at IS NOT NULL BEGIN
  UPDATE outage_upto SET upto = new.stopped_at WHERE project = new._project AND upto > new.stopped_at;
END;
CREATE TRIGGER outage_run_changed
AFTER UPDATE OF _project, _host, _terminal, _class, name, status, stopped_at, ref_name, pipeline_id ON workflow
WHEN old.stopped_at IS NOT NULL OR new.stopped_at IS NOT NULL BEGIN
  UPDATE outage_upto SET upto = old.stopped_at WHERE project = old._project AND upto > old.stopped_at;
  UPDATE outage_upto SET upto = new.stopped_at WHERE project = new._project AND upto > new.stopped_at;
END;
-- A workflow that does not tell its branch has that of its pipeline.
CREATE TRIGGER outage_pipeline_came AFTER INSERT ON pipeline WHEN new.ref_name IS NOT NULL BEGIN
  UPDATE outage_upto SET upto = w.at FROM (
    SELECT _project AS project, min(stopped_at) AS at FROM workflow WHERE pipeline_id = new._key AND ref_name IS NULL GROUP BY 1
  ) w WHERE outage_upto.project = w.project AND upto > w.at;
END;
CREATE TRIGGER outage_pipeline_changed AFTER UPDATE OF ref_name ON pipeline BEGIN
  UPDATE outage_upto SET upto = w.at FROM (
    SELECT _project AS project, min(stopped_at) AS at FROM workflow WHERE pipeline_id = new._key AND ref_name IS NULL GROUP BY 1
  ) w WHERE outage_upto.project = w.project AND upto > w.at;
END;

-- Results of tests that went moved this time too, though every run was kept: then it is that of the oldest run.
UPDATE counter SET n = coalesce((SELECT min(stopped_at) FROM workflow INDEXED BY workflow_end WHERE _terminal), n)
WHERE name = 'kept:facts' AND n > (SELECT min(stopped_at) FROM workflow INDEXED BY workflow_end WHERE _terminal);

-- Failed steps (kind 0), jobs of runs that repeat a failed one (1) and these runs (2) of whole days, one or eight of them:
-- store/daysums.py adds them up bit by bit. Names are 0 where there is none; of runs, step is the class of the branch.
CREATE TABLE day_sum (
  kind INTEGER NOT NULL, days INTEGER NOT NULL, day INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL,
  job INTEGER NOT NULL, step INTEGER NOT NULL, n INTEGER NOT NULL, ok INTEGER NOT NULL,
  credits INTEGER NOT NULL, charged INTEGER NOT NULL, ms INTEGER NOT NULL, estimated INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (kind, days, day, project, run, job, step)
) STRICT, WITHOUT ROWID;
-- What of a project is added up; not whole: it was looked at, and something in it may change unseen, so it is read row by row.
CREATE TABLE day_summed (
  kind INTEGER NOT NULL, days INTEGER NOT NULL, day INTEGER NOT NULL, project INTEGER NOT NULL, whole INTEGER NOT NULL,
  PRIMARY KEY (kind, days, day, project)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER day_step_came AFTER INSERT ON step WHEN new.stopped_at IS NOT NULL BEGIN
  DELETE FROM day_summed WHERE kind = 0 AND days = 1 AND day = new.stopped_at / 86400000 AND project = new._project;
  DELETE FROM day_summed WHERE kind = 0 AND days = 8 AND day = new.stopped_at / 691200000 * 8 AND project = new._project;
END;
CREATE TRIGGER day_step_changed AFTER UPDATE OF _project, job_id, name, status, stopped_at ON step BEGIN
  DELETE FROM day_summed WHERE kind = 0 AND days = 1 AND day = new.stopped_at / 86400000 AND project = new._project;
  DELETE FROM day_summed WHERE kind = 0 AND days = 8 AND day = new.stopped_at / 691200000 * 8 AND project = new._project;
  DELETE FROM day_summed WHERE kind = 0 AND days = 1 AND day = old.stopped_at / 86400000 AND project = old._project;
  DELETE FROM day_summed WHERE kind = 0 AND days = 8 AND day = old.stopped_at / 691200000 * 8 AND project = old._project;
END;
CREATE TRIGGER day_step_went AFTER DELETE ON step WHEN old.stopped_at IS NOT NULL BEGIN
  DELETE FROM day_summed WHERE kind = 0 AND days = 1 AND day = old.stopped_at / 86400000 AND project = old._project;
  DELETE FROM day_summed WHERE kind = 0 AND days = 8 AND day = old.stopped_at / 691200000 * 8 AND project = old._project;
END;
-- Steps have the names of their job, and end within a day of it; a job of a repeat ends a week before its run's day, or a day after it.
CREATE TRIGGER day_job_changed AFTER UPDATE OF _key, _project, _run, name, started_at, stopped_at, workflow_id ON job WHEN old.stopped_at IS NOT NULL BEGIN
  DELETE FROM day_summed WHERE kind = 0 AND days = 1 AND project = old._project
    AND day IN (old.stopped_at / 86400000 - 1, old.stopped_at / 86400000, old.stopped_at / 86400000 + 1);
  DELETE FROM day_summed WHERE kind = 0 AND days = 8 AND project = old._project
    AND day IN ((old.stopped_at / 86400000 - 1) / 8 * 8, (old.stopped_at / 86400000 + 1) / 8 * 8);
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 1 AND project = old._project
    AND day IN (old.stopped_at / 86400000 - 1, old.stopped_at / 86400000, old.stopped_at / 86400000 + 1, old.stopped_at / 86400000 + 2, old.stopped_at / 86400000 + 3, old.stopped_at / 86400000 + 4, old.stopped_at / 86400000 + 5, old.stopped_at / 86400000 + 6, old.stopped_at / 86400000 + 7);
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 8 AND project = old._project
    AND day IN ((old.stopped_at / 86400000 - 1) / 8 * 8, (old.stopped_at / 86400000 + 7) / 8 * 8);
END;
CREATE TRIGGER day_job_went AFTER DELETE ON job WHEN old.stopped_at IS NOT NULL BEGIN
  DELETE FROM day_summed WHERE kind = 0 AND days = 1 AND project = old._project
    AND day IN (old.stopped_at / 86400000 - 1, old.stopped_at / 86400000, old.stopped_at / 86400000 + 1);
  DELETE FROM day_summed WHERE kind = 0 AND days = 8 AND project = old._project
    AND day IN ((old.stopped_at / 86400000 - 1) / 8 * 8, (old.stopped_at / 86400000 + 1) / 8 * 8);
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 1 AND project = old._project
    AND day IN (old.stopped_at / 86400000 - 1, old.stopped_at / 86400000, old.stopped_at / 86400000 + 1, old.stopped_at / 86400000 + 2, old.stopped_at / 86400000 + 3, old.stopped_at / 86400000 + 4, old.stopped_at / 86400000 + 5, old.stopped_at / 86400000 + 6, old.stopped_at / 86400000 + 7);
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 8 AND project = old._project
    AND day IN ((old.stopped_at / 86400000 - 1) / 8 * 8, (old.stopped_at / 86400000 + 7) / 8 * 8);
END;
-- Of repeats: sums of a day (span_built) are taken away with whatever a run or job of it adds to them; those that a repeat rests
-- on ended at most a week before its day, or a day after it. The rest of what is looked at adds to no sum.
CREATE TRIGGER day_span_went AFTER DELETE ON span_built WHEN old.hours = 24 BEGIN
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days IN (1, 8) AND day >= old.bucket - 8 AND day <= old.bucket + 7;
END;
CREATE TRIGGER day_run_changed AFTER UPDATE OF rerun_of, created_at, credits, credits_estimated ON workflow
WHEN old.rerun_of IS NOT NULL AND old.stopped_at IS NOT NULL BEGIN
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 1 AND project = old._project
    AND day IN (old.stopped_at / 86400000, old.stopped_at / 86400000 + 1, old.stopped_at / 86400000 + 2, old.stopped_at / 86400000 + 3, old.stopped_at / 86400000 + 4, old.stopped_at / 86400000 + 5, old.stopped_at / 86400000 + 6, old.stopped_at / 86400000 + 7);
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 8 AND project = old._project
    AND day IN ((old.stopped_at / 86400000 + 0) / 8 * 8, (old.stopped_at / 86400000 + 7) / 8 * 8);
END;
CREATE TRIGGER day_run_went AFTER DELETE ON workflow WHEN old.stopped_at IS NOT NULL BEGIN
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 1 AND project = old._project
    AND day IN (old.stopped_at / 86400000, old.stopped_at / 86400000 + 1, old.stopped_at / 86400000 + 2, old.stopped_at / 86400000 + 3, old.stopped_at / 86400000 + 4, old.stopped_at / 86400000 + 5, old.stopped_at / 86400000 + 6, old.stopped_at / 86400000 + 7);
  DELETE FROM day_summed WHERE kind IN (1, 2) AND days = 8 AND project = old._project
    AND day IN ((old.stopped_at / 86400000 + 0) / 8 * 8, (old.stopped_at / 86400000 + 7) / 8 * 8);
END;
