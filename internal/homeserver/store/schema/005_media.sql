-- Files that users uploaded; content lies on disk under its SHA-256, once however often it was uploaded.
CREATE TABLE media (
	media_id TEXT NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	sha256 BYTEA NOT NULL,
	size BIGINT NOT NULL,
	content_type BYTEA NOT NULL,
	file_name BYTEA NOT NULL,
	created_ts BIGINT NOT NULL
);
CREATE INDEX media_by_hash ON media (sha256);
CREATE INDEX media_by_user ON media (user_id, created_ts);
