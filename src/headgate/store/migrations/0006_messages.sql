-- Messages that hold several alerts, and what notifiers remember of what they sent.

ALTER TABLE outbox ADD COLUMN "group" TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN batch INTEGER;
CREATE INDEX outbox_group ON outbox (notifier, "group") WHERE state = 0 AND "group" != '';
CREATE INDEX outbox_batch ON outbox (batch) WHERE state = 0 AND batch IS NOT NULL;
CREATE TABLE notifier_memory (
  notifier TEXT NOT NULL, thread TEXT NOT NULL, body TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (notifier, thread)
) STRICT, WITHOUT ROWID;
