-- Tokens that prove to other services who a user is, by the SHA-256 of their text.
CREATE TABLE openid_tokens (
	token_hash BYTEA NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	expires_ts BIGINT NOT NULL
);
CREATE INDEX openid_tokens_by_user ON openid_tokens (user_id, expires_ts);
