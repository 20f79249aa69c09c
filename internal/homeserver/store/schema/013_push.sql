-- Push rules that users made, and what they changed of predefined ones (builtin 1, whose empty actions are the predefined).
-- place orders the rules of a kind, the most important first.
CREATE TABLE push_rules (
	user_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	rule_id BYTEA NOT NULL,
	builtin BIGINT NOT NULL,
	place BIGINT NOT NULL,
	enabled BIGINT NOT NULL,
	actions BYTEA NOT NULL,
	conditions BYTEA NOT NULL,
	pattern BYTEA NOT NULL,
	PRIMARY KEY (user_id, kind, rule_id)
);
CREATE INDEX push_rules_by_place ON push_rules (user_id, kind, place);

-- Work that one replica at a time does, which, and until when (unix milliseconds). fence counts changes of owner.
CREATE TABLE leases (
	name TEXT NOT NULL PRIMARY KEY,
	owner TEXT NOT NULL,
	until_ts BIGINT NOT NULL,
	fence BIGINT NOT NULL
);

-- Where notifications are sent. data: JSON as the client gave it. sent_pos: how far the pusher has come; badge: the
-- unread count that it was last told; retry_ts: not before that time, after so many failures.
CREATE TABLE pushers (
	user_id TEXT NOT NULL,
	app_id BYTEA NOT NULL,
	pushkey BYTEA NOT NULL,
	device_id BYTEA NOT NULL,
	kind TEXT NOT NULL,
	names BYTEA NOT NULL,
	url BYTEA NOT NULL,
	data BYTEA NOT NULL,
	changed_ts BIGINT NOT NULL,
	sent_pos BIGINT NOT NULL,
	badge BIGINT NOT NULL,
	failures BIGINT NOT NULL,
	retry_ts BIGINT NOT NULL,
	PRIMARY KEY (user_id, app_id, pushkey)
);
CREATE INDEX pushers_by_key ON pushers (app_id, pushkey);
