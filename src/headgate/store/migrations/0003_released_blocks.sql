-- Record ids are random, so that each row of `released` was a page of its own to write. Rows of neighbouring positions
-- now stand together, in blocks of 8,192 (seq >> 13), ordered by id inside a block: the pages of one block are few.
CREATE TABLE released_blocks (
  block INTEGER NOT NULL, record_id ANY NOT NULL, kind INTEGER NOT NULL, fact INTEGER NOT NULL, lane INTEGER NOT NULL,
  seq INTEGER NOT NULL, revision INTEGER NOT NULL, digest INTEGER NOT NULL, PRIMARY KEY (block, record_id)
) STRICT, WITHOUT ROWID;
INSERT INTO released_blocks
  SELECT seq >> 13, record_id, kind, fact, lane, seq, revision, digest FROM released ORDER BY 1, 2;
DROP TABLE released;
ALTER TABLE released_blocks RENAME TO released;
-- Records whose facts were lost with a damaged page.
CREATE INDEX released_orphan ON released (record_id) WHERE fact = 0;
