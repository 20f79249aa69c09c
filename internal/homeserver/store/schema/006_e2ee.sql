-- Devices' identity keys in canonical JSON, without signatures and without unsigned.
CREATE TABLE device_keys (
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	keys BYTEA NOT NULL,
	PRIMARY KEY (user_id, device_id)
);

-- usage: master, self_signing or user_signing. public_key: the key in base64, by which it is named; keys: without signatures.
CREATE TABLE cross_signing_keys (
	user_id TEXT NOT NULL,
	usage TEXT NOT NULL,
	public_key BYTEA NOT NULL,
	keys BYTEA NOT NULL,
	PRIMARY KEY (user_id, usage)
);

-- Verified signatures on a key of user_id. key_id: a device id, or the public key of a cross-signing key.
CREATE TABLE key_signatures (
	user_id TEXT NOT NULL,
	key_id BYTEA NOT NULL,
	signer TEXT NOT NULL,
	signing_key BYTEA NOT NULL,
	signature BYTEA NOT NULL,
	PRIMARY KEY (user_id, key_id, signer, signing_key)
);
CREATE INDEX key_signatures_by_signer ON key_signatures (signer, signing_key);

-- What a user signed of others; only the signer's devices learn of it.
CREATE TABLE signature_changes (
	signer TEXT NOT NULL,
	stream_pos BIGINT NOT NULL,
	user_id TEXT NOT NULL,
	PRIMARY KEY (signer, stream_pos)
);

-- (stream_pos, place) is the order in which keys are handed out: that of the uploads, and by name within one.
CREATE TABLE one_time_keys (
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	algorithm BYTEA NOT NULL,
	key_id BYTEA NOT NULL,
	stream_pos BIGINT NOT NULL,
	place BIGINT NOT NULL,
	key BYTEA NOT NULL,
	PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE INDEX one_time_keys_by_age ON one_time_keys (user_id, device_id, algorithm, stream_pos, place);

-- used is 0 or 1.
CREATE TABLE fallback_keys (
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	algorithm BYTEA NOT NULL,
	key_id BYTEA NOT NULL,
	key BYTEA NOT NULL,
	used BIGINT NOT NULL,
	PRIMARY KEY (user_id, device_id, algorithm)
);

-- The newest change of each user's devices and keys.
CREATE TABLE device_list_changes (
	user_id TEXT NOT NULL PRIMARY KEY,
	stream_pos BIGINT NOT NULL
);
CREATE INDEX device_list_changes_by_pos ON device_list_changes (stream_pos);

-- Messages that wait for a device, ready to send.
CREATE TABLE to_device (
	user_id TEXT NOT NULL,
	device_id BYTEA NOT NULL,
	stream_pos BIGINT NOT NULL,
	content BYTEA NOT NULL,
	PRIMARY KEY (user_id, device_id, stream_pos)
);
