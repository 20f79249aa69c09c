-- Events that point at another event of their room. edits: it may replace what it points at. annotation is NULL, or the
-- same for annotations of which a user may send only one.
CREATE TABLE relations (
	event_nid BIGINT NOT NULL PRIMARY KEY,
	event_id TEXT NOT NULL,
	room_nid BIGINT NOT NULL,
	relates_to TEXT NOT NULL,
	rel_type BYTEA NOT NULL,
	type BYTEA NOT NULL,
	sender TEXT NOT NULL,
	origin_ts BIGINT NOT NULL,
	stream_pos BIGINT NOT NULL,
	edits BIGINT NOT NULL,
	annotation BYTEA
);
CREATE INDEX relations_by_target ON relations (room_nid, relates_to, rel_type, stream_pos);
CREATE UNIQUE INDEX relations_by_annotation ON relations (annotation);

-- What each user said in a thread: how much, and last.
CREATE TABLE threads (
	room_nid BIGINT NOT NULL,
	root_id TEXT NOT NULL,
	sender TEXT NOT NULL,
	n BIGINT NOT NULL,
	last_pos BIGINT NOT NULL,
	last_nid BIGINT NOT NULL,
	PRIMARY KEY (room_nid, root_id, sender)
);
CREATE INDEX threads_by_time ON threads (room_nid, last_pos);
