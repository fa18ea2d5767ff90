-- Repeats of a project by their end: they are few, and what they cost was found by reading every workflow of the time.
CREATE INDEX workflow_rerun ON workflow (_project, stopped_at) WHERE _terminal AND rerun_of IS NOT NULL;
