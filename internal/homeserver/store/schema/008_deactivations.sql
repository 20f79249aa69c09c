-- Accounts that are deactivated and whose traces are still being removed. erase is 0 or 1.
CREATE TABLE deactivations (
	user_id TEXT NOT NULL PRIMARY KEY,
	erase BIGINT NOT NULL
);
