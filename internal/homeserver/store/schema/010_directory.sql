-- How many users are joined to and invited to a room, kept with each move of its head, so that nobody counts members.
ALTER TABLE rooms ADD COLUMN joined BIGINT NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN invited BIGINT NOT NULL DEFAULT 0;
UPDATE rooms SET
	joined = (SELECT COUNT(*) FROM memberships m WHERE m.room_nid = rooms.room_nid AND m.membership = 'join'),
	invited = (SELECT COUNT(*) FROM memberships m WHERE m.room_nid = rooms.room_nid AND m.membership = 'invite');
-- The room directory in its order.
CREATE INDEX rooms_public ON rooms (joined, room_nid) WHERE visibility = 1;
-- Events by what their senders say of the time.
CREATE INDEX events_by_time ON events (room_nid, origin_ts, event_nid);

-- What users reported to the administrators: kind is room, event or user, and what does not apply is ''.
CREATE TABLE reports (
	report_id BIGINT NOT NULL PRIMARY KEY,
	reporter TEXT NOT NULL,
	kind TEXT NOT NULL,
	room_id TEXT NOT NULL,
	event_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	reason BYTEA NOT NULL,
	created_ts BIGINT NOT NULL
);
CREATE UNIQUE INDEX reports_by_subject ON reports (reporter, kind, room_id, event_id, user_id);
