-- Workflows by their commit: the beginning of a commit is found without reading history. Eight characters tell commits
-- apart well enough, and cost a fifth of all forty.
CREATE INDEX pipeline_revision ON pipeline (substr(revision, 1, 8)) WHERE revision IS NOT NULL;
CREATE INDEX workflow_revision ON workflow (substr(revision, 1, 8)) WHERE revision IS NOT NULL;
