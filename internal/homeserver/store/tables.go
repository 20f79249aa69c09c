// SPDX-License-Identifier: Apache-2.0

package store

// TableRule says what a migration to another database does with a table.
type TableRule string

// The rules.
const (
	// Copy: every row is copied as it is.
	Copy TableRule = "copy"
	// Skip: the other side makes its own.
	Skip TableRule = "skip"
)

// Table is a table of the schema.
type Table struct {
	Name string
	Rule TableRule
}

// Tables are all tables, in the order in which a migration copies them. A
// test fails when one of the schema is missing.
func Tables() []Table {
	return []Table{
		{"schema_version", Skip},
		{"server", Copy},
		{"id_alloc", Copy},
		{"stream_head", Copy},
		{"changes", Copy},
		{"rooms", Copy},
		{"events", Copy},
		{"state_keys", Copy},
		{"state", Copy},
		{"current_state", Copy},
		{"state_deltas", Copy},
		{"memberships", Copy},
		{"relations", Copy},
		{"threads", Copy},
		{"aliases", Copy},
		{"reports", Copy},
		{"txns", Copy},
		{"users", Copy},
		{"deactivations", Copy},
		{"devices", Copy},
		{"access_tokens", Copy},
		{"refresh_tokens", Copy},
		{"login_tokens", Copy},
		{"registration_tokens", Copy},
		{"used_nonces", Copy},
		{"openid_tokens", Copy},
		{"profiles", Copy},
		{"profile_updates", Copy},
		{"user_words", Copy},
		{"media", Copy},
		{"media_usage", Copy},
		{"pending_media", Copy},
		{"receipts", Copy},
		{"account_data", Copy},
		{"push_rules", Copy},
		{"leases", Skip},
		{"pushers", Copy},
		{"filters", Copy},
		{"device_keys", Copy},
		{"cross_signing_keys", Copy},
		{"key_signatures", Copy},
		{"signature_changes", Copy},
		{"one_time_keys", Copy},
		{"fallback_keys", Copy},
		{"device_list_changes", Copy},
		{"to_device", Copy},
		{"key_backups", Copy},
		{"backup_keys", Copy},
	}
}
