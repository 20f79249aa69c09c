-- What a device last called itself.
ALTER TABLE devices ADD COLUMN user_agent BYTEA;

-- The tokens of a device are renewed together; generation counts how often.
-- unused 1: nobody has used this token yet, so the tokens before it still count.
ALTER TABLE access_tokens ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE access_tokens ADD COLUMN unused BIGINT NOT NULL DEFAULT 0;

-- Refresh tokens by the SHA-256 of their text. A spent one is kept for a while: whoever shows it has stolen it, or was stolen from.
CREATE TABLE refresh_tokens (
	token_hash BYTEA NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	generation BIGINT NOT NULL,
	spent BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_by_device ON refresh_tokens (user_id, device_id, generation);

-- Tokens that sign in once, by the SHA-256 of their text.
CREATE TABLE login_tokens (
	token_hash BYTEA NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	expires_ts BIGINT NOT NULL
);
CREATE INDEX login_tokens_by_user ON login_tokens (user_id);
CREATE INDEX login_tokens_by_end ON login_tokens (expires_ts);

-- Who holds one may register. uses_allowed -1: any number of times; expires_ts 0: never.
CREATE TABLE registration_tokens (
	token TEXT NOT NULL PRIMARY KEY,
	uses_allowed BIGINT NOT NULL,
	completed BIGINT NOT NULL,
	expires_ts BIGINT NOT NULL
);

-- Nonces of registrations by shared secret that were used and have not ended yet.
CREATE TABLE used_nonces (
	nonce BYTEA NOT NULL PRIMARY KEY,
	expires_ts BIGINT NOT NULL
);
CREATE INDEX used_nonces_by_end ON used_nonces (expires_ts);

-- How the removal of an account's traces goes. failure is why the last attempt failed.
ALTER TABLE deactivations ADD COLUMN requested_ts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deactivations ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deactivations ADD COLUMN failure BYTEA;
