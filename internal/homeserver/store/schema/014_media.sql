-- Media ids that were given out before their content, which is still to come.
CREATE TABLE pending_media (
	media_id TEXT NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	expires_ts BIGINT NOT NULL
);
CREATE INDEX pending_media_by_user ON pending_media (user_id, expires_ts);

-- How much each user has uploaded, in bytes, every file as at least 4096.
CREATE TABLE media_usage (
	user_id TEXT NOT NULL PRIMARY KEY,
	bytes BIGINT NOT NULL
);
INSERT INTO media_usage (user_id, bytes)
	SELECT user_id, SUM(CASE WHEN size < 4096 THEN 4096 ELSE size END) FROM media GROUP BY user_id;
