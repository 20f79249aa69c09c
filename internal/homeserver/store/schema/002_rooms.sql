-- A room and its head. head_nid identifies the head for the compare-and-set of all its writes: the newest event.
-- heads lists the forward extremities; state_nid is the state after them.
-- visibility is 1 for rooms in the public directory.
CREATE TABLE rooms (
	room_nid BIGINT NOT NULL PRIMARY KEY,
	room_id TEXT NOT NULL,
	version TEXT NOT NULL,
	head_nid BIGINT NOT NULL,
	heads BYTEA NOT NULL,
	depth BIGINT NOT NULL,
	state_nid BIGINT NOT NULL,
	visibility BIGINT NOT NULL,
	flags BIGINT NOT NULL
);
CREATE UNIQUE INDEX rooms_by_id ON rooms (room_id);

-- stream_pos: > 0 live, < 0 backfilled, 0 outlier. state_nid: the state before the event, 0 when unknown.
-- skid: the interned (type, state_key) of a state event, else 0. replaces_nid: the event that had the key before, else 0.
-- redacted_by: event nid, else 0. json: the PDU as canonical JSON, stripped when redacted.
-- txn: hash of user, device and request of what a client of ours sent, so that a repeated request cannot
-- make a second event; txn_device and txn_id say it in words to that device. NULL for all others.
CREATE TABLE events (
	event_nid BIGINT NOT NULL PRIMARY KEY,
	event_id TEXT NOT NULL,
	room_nid BIGINT NOT NULL,
	type BYTEA NOT NULL,
	skid BIGINT NOT NULL,
	sender TEXT NOT NULL,
	depth BIGINT NOT NULL,
	origin_ts BIGINT NOT NULL,
	stream_pos BIGINT NOT NULL,
	state_nid BIGINT NOT NULL,
	replaces_nid BIGINT NOT NULL,
	redacted_by BIGINT NOT NULL,
	flags BIGINT NOT NULL,
	txn BYTEA,
	txn_device BYTEA,
	txn_id BYTEA,
	json BYTEA NOT NULL
);
CREATE UNIQUE INDEX events_by_id ON events (event_id);
CREATE INDEX events_by_room ON events (room_nid, stream_pos);
CREATE UNIQUE INDEX events_by_txn ON events (txn);

-- Interned pairs of event type and state key; odd ids are m.room.member.
CREATE TABLE state_keys (
	skid BIGINT NOT NULL PRIMARY KEY,
	type BYTEA NOT NULL,
	state_key BYTEA NOT NULL
);
CREATE UNIQUE INDEX state_keys_by_pair ON state_keys (type, state_key);

-- A state of a room as a delta to its parent (0: to nothing), level 0 to 3; n is how many keys the whole state has.
-- added holds (skid, event_nid) pairs and removed skids, sorted, as differences in variable length.
CREATE TABLE state (
	state_nid BIGINT NOT NULL PRIMARY KEY,
	room_nid BIGINT NOT NULL,
	parent_nid BIGINT NOT NULL,
	level BIGINT NOT NULL,
	n BIGINT NOT NULL,
	added BYTEA NOT NULL,
	removed BYTEA NOT NULL
);
CREATE INDEX state_by_room ON state (room_nid);

CREATE TABLE current_state (
	room_nid BIGINT NOT NULL,
	skid BIGINT NOT NULL,
	event_nid BIGINT NOT NULL,
	PRIMARY KEY (room_nid, skid)
);

-- What each stream position changed in the current state; 0 means absent.
CREATE TABLE state_deltas (
	stream_pos BIGINT NOT NULL,
	room_nid BIGINT NOT NULL,
	skid BIGINT NOT NULL,
	old_nid BIGINT NOT NULL,
	new_nid BIGINT NOT NULL,
	PRIMARY KEY (stream_pos, skid)
);
CREATE INDEX state_deltas_by_room ON state_deltas (room_nid, stream_pos);

-- The current membership of each user in each room; forgotten is 0 or 1.
CREATE TABLE memberships (
	user_id TEXT NOT NULL,
	room_nid BIGINT NOT NULL,
	membership TEXT NOT NULL,
	event_nid BIGINT NOT NULL,
	stream_pos BIGINT NOT NULL,
	forgotten BIGINT NOT NULL,
	PRIMARY KEY (user_id, room_nid)
);
CREATE INDEX memberships_by_room ON memberships (room_nid, membership, user_id);

-- Room aliases of this server.
CREATE TABLE aliases (
	alias BYTEA NOT NULL PRIMARY KEY,
	room_nid BIGINT NOT NULL,
	creator TEXT NOT NULL,
	created_ts BIGINT NOT NULL
);
CREATE INDEX aliases_by_room ON aliases (room_nid);

-- Requests other than sends that were carried out already, so that a repeated transaction id does nothing.
CREATE TABLE txns (
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	request BYTEA NOT NULL,
	created_ts BIGINT NOT NULL,
	PRIMARY KEY (user_id, device_id, request)
);
CREATE INDEX txns_by_age ON txns (created_ts);
