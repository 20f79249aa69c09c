-- Facts about the server: server_name, epoch.
CREATE TABLE server (
	name TEXT NOT NULL PRIMARY KEY,
	value BYTEA NOT NULL
);

-- Ids are handed out in blocks; gaps do not matter.
CREATE TABLE id_alloc (
	name TEXT NOT NULL PRIMARY KEY,
	next BIGINT NOT NULL
);

-- The one row whose lock makes the order of stream positions the order of commits.
CREATE TABLE stream_head (
	one BIGINT NOT NULL PRIMARY KEY,
	pos BIGINT NOT NULL
);
INSERT INTO stream_head (one, pos) VALUES (1, 0);

-- One compact row per change: the log that /sync, push, appservices and federation follow.
CREATE TABLE changes (
	stream_pos BIGINT NOT NULL PRIMARY KEY,
	kind BIGINT NOT NULL,
	room_nid BIGINT NOT NULL,
	user_id TEXT NOT NULL,
	ref BIGINT NOT NULL
);
CREATE INDEX changes_by_room ON changes (room_nid, stream_pos);
CREATE INDEX changes_by_user ON changes (user_id, stream_pos);
