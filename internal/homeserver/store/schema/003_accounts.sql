-- Local accounts. password is an encoded hash, empty when there is none to sign in with.
-- flags: 1 administrator, 2 deactivated, 4 locked, 8 suspended.
CREATE TABLE users (
	user_id TEXT NOT NULL PRIMARY KEY,
	password BYTEA NOT NULL,
	flags BIGINT NOT NULL,
	created_ts BIGINT NOT NULL
);

-- Devices of local users. The last_seen columns may lag by some minutes.
CREATE TABLE devices (
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	display_name BYTEA NOT NULL,
	created_ts BIGINT NOT NULL,
	last_seen_ts BIGINT NOT NULL,
	last_seen_ip TEXT NOT NULL,
	PRIMARY KEY (user_id, device_id)
);

-- Access tokens by the SHA-256 of their text. expires_ts 0: never.
CREATE TABLE access_tokens (
	token_hash BYTEA NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	created_ts BIGINT NOT NULL,
	expires_ts BIGINT NOT NULL
);
CREATE INDEX access_tokens_by_device ON access_tokens (user_id, device_id);

-- Fields of profiles; value is JSON.
CREATE TABLE profiles (
	user_id TEXT NOT NULL,
	field BYTEA NOT NULL,
	value BYTEA NOT NULL,
	PRIMARY KEY (user_id, field)
);
