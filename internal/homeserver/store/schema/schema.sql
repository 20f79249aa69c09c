-- Generated: the schema that the numbered steps lead to, as SQLite has it.

CREATE TABLE access_tokens (
	token_hash BLOB NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	created_ts INTEGER NOT NULL,
	expires_ts INTEGER NOT NULL
, generation INTEGER NOT NULL DEFAULT 0, unused INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE INDEX access_tokens_by_device ON access_tokens (user_id, device_id);

CREATE TABLE account_data (
	user_id TEXT NOT NULL,
	room_nid INTEGER NOT NULL,
	type BLOB NOT NULL,
	content BLOB NOT NULL,
	guard INTEGER NOT NULL,
	stream_pos INTEGER NOT NULL,
	PRIMARY KEY (user_id, room_nid, type)
) STRICT;

CREATE INDEX account_data_by_user ON account_data (user_id, stream_pos);

CREATE TABLE aliases (
	alias BLOB NOT NULL PRIMARY KEY,
	room_nid INTEGER NOT NULL,
	creator TEXT NOT NULL,
	created_ts INTEGER NOT NULL
) STRICT;

CREATE INDEX aliases_by_room ON aliases (room_nid);

CREATE TABLE backup_keys (
	user_id TEXT NOT NULL,
	version INTEGER NOT NULL,
	room_id BLOB NOT NULL,
	session_id BLOB NOT NULL,
	first_message_index INTEGER NOT NULL,
	forwarded_count INTEGER NOT NULL,
	is_verified INTEGER NOT NULL,
	session_data BLOB NOT NULL,
	PRIMARY KEY (user_id, version, room_id, session_id)
) STRICT;

CREATE TABLE changes (
	stream_pos INTEGER NOT NULL PRIMARY KEY,
	kind INTEGER NOT NULL,
	room_nid INTEGER NOT NULL,
	user_id TEXT NOT NULL,
	ref INTEGER NOT NULL
) STRICT;

CREATE INDEX changes_by_room ON changes (room_nid, stream_pos);

CREATE INDEX changes_by_user ON changes (user_id, stream_pos);

CREATE TABLE cross_signing_keys (
	user_id TEXT NOT NULL,
	usage TEXT NOT NULL,
	public_key BLOB NOT NULL,
	keys BLOB NOT NULL,
	PRIMARY KEY (user_id, usage)
) STRICT;

CREATE TABLE current_state (
	room_nid INTEGER NOT NULL,
	skid INTEGER NOT NULL,
	event_nid INTEGER NOT NULL,
	PRIMARY KEY (room_nid, skid)
) STRICT;

CREATE TABLE deactivations (
	user_id TEXT NOT NULL PRIMARY KEY,
	erase INTEGER NOT NULL
, requested_ts INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, failure BLOB) STRICT;

CREATE TABLE device_keys (
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	keys BLOB NOT NULL,
	PRIMARY KEY (user_id, device_id)
) STRICT;

CREATE TABLE device_list_changes (
	user_id TEXT NOT NULL PRIMARY KEY,
	stream_pos INTEGER NOT NULL
) STRICT;

CREATE INDEX device_list_changes_by_pos ON device_list_changes (stream_pos);

CREATE TABLE devices (
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	display_name BLOB NOT NULL,
	created_ts INTEGER NOT NULL,
	last_seen_ts INTEGER NOT NULL,
	last_seen_ip TEXT NOT NULL, user_agent BLOB,
	PRIMARY KEY (user_id, device_id)
) STRICT;

CREATE TABLE events (
	event_nid INTEGER NOT NULL PRIMARY KEY,
	event_id TEXT NOT NULL,
	room_nid INTEGER NOT NULL,
	type BLOB NOT NULL,
	skid INTEGER NOT NULL,
	sender TEXT NOT NULL,
	depth INTEGER NOT NULL,
	origin_ts INTEGER NOT NULL,
	stream_pos INTEGER NOT NULL,
	state_nid INTEGER NOT NULL,
	replaces_nid INTEGER NOT NULL,
	redacted_by INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	txn BLOB,
	txn_device BLOB,
	txn_id BLOB,
	json BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_id ON events (event_id);

CREATE INDEX events_by_room ON events (room_nid, stream_pos);

CREATE INDEX events_by_time ON events (room_nid, origin_ts, event_nid);

CREATE UNIQUE INDEX events_by_txn ON events (txn);

CREATE TABLE fallback_keys (
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	algorithm BLOB NOT NULL,
	key_id BLOB NOT NULL,
	key BLOB NOT NULL,
	used INTEGER NOT NULL,
	PRIMARY KEY (user_id, device_id, algorithm)
) STRICT;

CREATE TABLE filters (
	user_id TEXT NOT NULL,
	filter_id INTEGER NOT NULL,
	json BLOB NOT NULL,
	PRIMARY KEY (user_id, filter_id)
) STRICT;

CREATE TABLE id_alloc (
	name TEXT NOT NULL PRIMARY KEY,
	next INTEGER NOT NULL
) STRICT;

CREATE TABLE key_backups (
	user_id TEXT NOT NULL,
	version INTEGER NOT NULL,
	algorithm BLOB NOT NULL,
	auth_data BLOB NOT NULL,
	etag INTEGER NOT NULL,
	key_count INTEGER NOT NULL,
	deleted INTEGER NOT NULL,
	PRIMARY KEY (user_id, version)
) STRICT;

CREATE TABLE key_signatures (
	user_id TEXT NOT NULL,
	key_id BLOB NOT NULL,
	signer TEXT NOT NULL,
	signing_key BLOB NOT NULL,
	signature BLOB NOT NULL,
	PRIMARY KEY (user_id, key_id, signer, signing_key)
) STRICT;

CREATE INDEX key_signatures_by_signer ON key_signatures (signer, signing_key);

CREATE TABLE leases (
	name TEXT NOT NULL PRIMARY KEY,
	owner TEXT NOT NULL,
	until_ts INTEGER NOT NULL,
	fence INTEGER NOT NULL
) STRICT;

CREATE TABLE login_tokens (
	token_hash BLOB NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	expires_ts INTEGER NOT NULL
) STRICT;

CREATE INDEX login_tokens_by_end ON login_tokens (expires_ts);

CREATE INDEX login_tokens_by_user ON login_tokens (user_id);

CREATE TABLE media (
	media_id TEXT NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	sha256 BLOB NOT NULL,
	size INTEGER NOT NULL,
	content_type BLOB NOT NULL,
	file_name BLOB NOT NULL,
	created_ts INTEGER NOT NULL
) STRICT;

CREATE INDEX media_by_hash ON media (sha256);

CREATE INDEX media_by_user ON media (user_id, created_ts);

CREATE TABLE media_usage (
	user_id TEXT NOT NULL PRIMARY KEY,
	bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
	user_id TEXT NOT NULL,
	room_nid INTEGER NOT NULL,
	membership TEXT NOT NULL,
	event_nid INTEGER NOT NULL,
	stream_pos INTEGER NOT NULL,
	forgotten INTEGER NOT NULL,
	PRIMARY KEY (user_id, room_nid)
) STRICT;

CREATE INDEX memberships_by_room ON memberships (room_nid, membership, user_id);

CREATE TABLE one_time_keys (
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	algorithm BLOB NOT NULL,
	key_id BLOB NOT NULL,
	stream_pos INTEGER NOT NULL,
	place INTEGER NOT NULL,
	key BLOB NOT NULL,
	PRIMARY KEY (user_id, device_id, algorithm, key_id)
) STRICT;

CREATE INDEX one_time_keys_by_age ON one_time_keys (user_id, device_id, algorithm, stream_pos, place);

CREATE TABLE openid_tokens (
	token_hash BLOB NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	expires_ts INTEGER NOT NULL
) STRICT;

CREATE INDEX openid_tokens_by_user ON openid_tokens (user_id, expires_ts);

CREATE TABLE pending_media (
	media_id TEXT NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	expires_ts INTEGER NOT NULL
) STRICT;

CREATE INDEX pending_media_by_user ON pending_media (user_id, expires_ts);

CREATE TABLE profile_updates (
	user_id TEXT NOT NULL PRIMARY KEY,
	stream_pos INTEGER NOT NULL
) STRICT;

CREATE TABLE profiles (
	user_id TEXT NOT NULL,
	field BLOB NOT NULL,
	value BLOB NOT NULL,
	PRIMARY KEY (user_id, field)
) STRICT;

CREATE TABLE push_rules (
	user_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	rule_id BLOB NOT NULL,
	builtin INTEGER NOT NULL,
	place INTEGER NOT NULL,
	enabled INTEGER NOT NULL,
	actions BLOB NOT NULL,
	conditions BLOB NOT NULL,
	pattern BLOB NOT NULL,
	PRIMARY KEY (user_id, kind, rule_id)
) STRICT;

CREATE INDEX push_rules_by_place ON push_rules (user_id, kind, place);

CREATE TABLE pushers (
	user_id TEXT NOT NULL,
	app_id BLOB NOT NULL,
	pushkey BLOB NOT NULL,
	device_id BLOB NOT NULL,
	kind TEXT NOT NULL,
	names BLOB NOT NULL,
	url BLOB NOT NULL,
	data BLOB NOT NULL,
	changed_ts INTEGER NOT NULL,
	sent_pos INTEGER NOT NULL,
	badge INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	retry_ts INTEGER NOT NULL,
	PRIMARY KEY (user_id, app_id, pushkey)
) STRICT;

CREATE INDEX pushers_by_key ON pushers (app_id, pushkey);

CREATE TABLE receipts (
	room_nid INTEGER NOT NULL,
	user_id TEXT NOT NULL,
	type TEXT NOT NULL,
	thread BLOB NOT NULL,
	event_id TEXT NOT NULL,
	event_pos INTEGER NOT NULL,
	ts INTEGER NOT NULL,
	stream_pos INTEGER NOT NULL,
	PRIMARY KEY (room_nid, user_id, type, thread)
) STRICT;

CREATE INDEX receipts_by_room ON receipts (room_nid, stream_pos);

CREATE TABLE refresh_tokens (
	token_hash BLOB NOT NULL PRIMARY KEY,
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	generation INTEGER NOT NULL,
	spent INTEGER NOT NULL
) STRICT;

CREATE INDEX refresh_tokens_by_device ON refresh_tokens (user_id, device_id, generation);

CREATE TABLE registration_tokens (
	token TEXT NOT NULL PRIMARY KEY,
	uses_allowed INTEGER NOT NULL,
	completed INTEGER NOT NULL,
	expires_ts INTEGER NOT NULL
) STRICT;

CREATE TABLE relations (
	event_nid INTEGER NOT NULL PRIMARY KEY,
	event_id TEXT NOT NULL,
	room_nid INTEGER NOT NULL,
	relates_to TEXT NOT NULL,
	rel_type BLOB NOT NULL,
	type BLOB NOT NULL,
	sender TEXT NOT NULL,
	origin_ts INTEGER NOT NULL,
	stream_pos INTEGER NOT NULL,
	edits INTEGER NOT NULL,
	annotation BLOB
) STRICT;

CREATE UNIQUE INDEX relations_by_annotation ON relations (annotation);

CREATE INDEX relations_by_target ON relations (room_nid, relates_to, rel_type, stream_pos);

CREATE TABLE reports (
	report_id INTEGER NOT NULL PRIMARY KEY,
	reporter TEXT NOT NULL,
	kind TEXT NOT NULL,
	room_id TEXT NOT NULL,
	event_id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	reason BLOB NOT NULL,
	created_ts INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX reports_by_subject ON reports (reporter, kind, room_id, event_id, user_id);

CREATE TABLE rooms (
	room_nid INTEGER NOT NULL PRIMARY KEY,
	room_id TEXT NOT NULL,
	version TEXT NOT NULL,
	head_nid INTEGER NOT NULL,
	heads BLOB NOT NULL,
	depth INTEGER NOT NULL,
	state_nid INTEGER NOT NULL,
	visibility INTEGER NOT NULL,
	flags INTEGER NOT NULL
, joined INTEGER NOT NULL DEFAULT 0, invited INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE UNIQUE INDEX rooms_by_id ON rooms (room_id);

CREATE INDEX rooms_public ON rooms (joined, room_nid) WHERE visibility = 1;

CREATE TABLE schema_version (one INTEGER NOT NULL PRIMARY KEY, version INTEGER NOT NULL) STRICT;

CREATE TABLE server (
	name TEXT NOT NULL PRIMARY KEY,
	value BLOB NOT NULL
) STRICT;

CREATE TABLE signature_changes (
	signer TEXT NOT NULL,
	stream_pos INTEGER NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (signer, stream_pos)
) STRICT;

CREATE TABLE state (
	state_nid INTEGER NOT NULL PRIMARY KEY,
	room_nid INTEGER NOT NULL,
	parent_nid INTEGER NOT NULL,
	level INTEGER NOT NULL,
	n INTEGER NOT NULL,
	added BLOB NOT NULL,
	removed BLOB NOT NULL
) STRICT;

CREATE INDEX state_by_room ON state (room_nid);

CREATE TABLE state_deltas (
	stream_pos INTEGER NOT NULL,
	room_nid INTEGER NOT NULL,
	skid INTEGER NOT NULL,
	old_nid INTEGER NOT NULL,
	new_nid INTEGER NOT NULL,
	PRIMARY KEY (stream_pos, skid)
) STRICT;

CREATE INDEX state_deltas_by_room ON state_deltas (room_nid, stream_pos);

CREATE TABLE state_keys (
	skid INTEGER NOT NULL PRIMARY KEY,
	type BLOB NOT NULL,
	state_key BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX state_keys_by_pair ON state_keys (type, state_key);

CREATE TABLE stream_head (
	one INTEGER NOT NULL PRIMARY KEY,
	pos INTEGER NOT NULL
) STRICT;

CREATE TABLE threads (
	room_nid INTEGER NOT NULL,
	root_id TEXT NOT NULL,
	sender TEXT NOT NULL,
	n INTEGER NOT NULL,
	last_pos INTEGER NOT NULL,
	last_nid INTEGER NOT NULL,
	PRIMARY KEY (room_nid, root_id, sender)
) STRICT;

CREATE INDEX threads_by_time ON threads (room_nid, last_pos);

CREATE TABLE to_device (
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	stream_pos INTEGER NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (user_id, device_id, stream_pos)
) STRICT;

CREATE TABLE txns (
	user_id TEXT NOT NULL,
	device_id BLOB NOT NULL,
	request BLOB NOT NULL,
	created_ts INTEGER NOT NULL,
	PRIMARY KEY (user_id, device_id, request)
) STRICT;

CREATE INDEX txns_by_age ON txns (created_ts);

CREATE TABLE used_nonces (
	nonce BLOB NOT NULL PRIMARY KEY,
	expires_ts INTEGER NOT NULL
) STRICT;

CREATE INDEX used_nonces_by_end ON used_nonces (expires_ts);

CREATE TABLE user_words (
	user_id TEXT NOT NULL,
	word BLOB NOT NULL,
	PRIMARY KEY (user_id, word)
) STRICT;

CREATE INDEX user_words_by_word ON user_words (word, user_id);

CREATE TABLE users (
	user_id TEXT NOT NULL PRIMARY KEY,
	password BLOB NOT NULL,
	flags INTEGER NOT NULL,
	created_ts INTEGER NOT NULL
) STRICT;
