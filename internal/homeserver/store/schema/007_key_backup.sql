-- Versions of users' key backups. Keys may be added to the highest one that is not deleted.
-- The highest version of a user stays as a row when it is deleted (deleted 1), so that no version is used twice.
-- etag counts changes of keys; key_count is the number of rows in backup_keys.
CREATE TABLE key_backups (
	user_id TEXT NOT NULL,
	version BIGINT NOT NULL,
	algorithm BYTEA NOT NULL,
	auth_data BYTEA NOT NULL,
	etag BIGINT NOT NULL,
	key_count BIGINT NOT NULL,
	deleted BIGINT NOT NULL,
	PRIMARY KEY (user_id, version)
);

-- Room keys, encrypted by the client. is_verified is 0 or 1.
CREATE TABLE backup_keys (
	user_id TEXT NOT NULL,
	version BIGINT NOT NULL,
	room_id BYTEA NOT NULL,
	session_id BYTEA NOT NULL,
	first_message_index BIGINT NOT NULL,
	forwarded_count BIGINT NOT NULL,
	is_verified BIGINT NOT NULL,
	session_data BYTEA NOT NULL,
	PRIMARY KEY (user_id, version, room_id, session_id)
);
