-- Answers about tests, steps and bills of one project over time read the index alone until they know which rows they want.

DROP INDEX test_result_end;
CREATE INDEX test_result_end ON test_result (_project, stopped_at, test_id, result);
DROP INDEX step_end;
CREATE INDEX step_end ON step (_project, stopped_at, status, job_id, node, started_at);
-- The export tells no end of a canceled job: when it began is the next best.
CREATE INDEX usage_place ON usage (_project, coalesce(stopped_at, started_at, queued_at, _seen_ms));
