-- Who changed something, read what is about a person, or took data out.
CREATE TABLE trail (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL, peer TEXT NOT NULL,
  action TEXT NOT NULL, about TEXT NOT NULL, status INTEGER NOT NULL, times INTEGER NOT NULL
) STRICT;
