-- How far a user has read a room, by type of receipt and thread ('' is unthreaded).
-- event_pos is where the event lies in the stream: a receipt never moves back.
CREATE TABLE receipts (
	room_nid BIGINT NOT NULL,
	user_id TEXT NOT NULL,
	type TEXT NOT NULL,
	thread BYTEA NOT NULL,
	event_id TEXT NOT NULL,
	event_pos BIGINT NOT NULL,
	ts BIGINT NOT NULL,
	stream_pos BIGINT NOT NULL,
	PRIMARY KEY (room_nid, user_id, type, thread)
);
CREATE INDEX receipts_by_room ON receipts (room_nid, stream_pos);

-- Account data of a user; room_nid 0 is global. A row is only replaced by one
-- whose guard is not smaller: m.fully_read's is the position of its event.
CREATE TABLE account_data (
	user_id TEXT NOT NULL,
	room_nid BIGINT NOT NULL,
	type BYTEA NOT NULL,
	content BYTEA NOT NULL,
	guard BIGINT NOT NULL,
	stream_pos BIGINT NOT NULL,
	PRIMARY KEY (user_id, room_nid, type)
);
CREATE INDEX account_data_by_user ON account_data (user_id, stream_pos);

-- Uploaded filters, numbered by user.
CREATE TABLE filters (
	user_id TEXT NOT NULL,
	filter_id BIGINT NOT NULL,
	json BYTEA NOT NULL,
	PRIMARY KEY (user_id, filter_id)
);
