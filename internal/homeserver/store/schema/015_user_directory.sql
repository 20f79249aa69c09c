-- The words by which users are found: those of their names and, behind an @, the whole local part.
CREATE TABLE user_words (
	user_id TEXT NOT NULL,
	word BYTEA NOT NULL,
	PRIMARY KEY (user_id, word)
);
CREATE INDEX user_words_by_word ON user_words (word, user_id);

-- Users whose rooms have yet to be told of the profile that was changed at stream_pos.
CREATE TABLE profile_updates (
	user_id TEXT NOT NULL PRIMARY KEY,
	stream_pos BIGINT NOT NULL
);
