// SPDX-License-Identifier: Apache-2.0

// Package config is the configuration file of the built-in homeserver: the
// very structs that the server reads and that the operator marshals.
//
// Every field has a working zero value except ServerName; Default fills in
// the documented defaults. Load reads a YAML file strictly: an unknown key is
// an error that names it.
package config

// Config is the whole configuration of one homeserver process.
type Config struct {
	// ServerName is the domain part of all its user ids. It can never change.
	ServerName string `json:"serverName"`
	// PublicBaseURL is where clients reach the server, for example
	// https://matrix.campus.example. Default: http://<listen address>.
	PublicBaseURL string `json:"publicBaseURL,omitempty"`
	// DataDir holds the SQLite database, media and, when run alone, the
	// signing key.
	DataDir string `json:"dataDir"`
	// SigningKeyFile holds the ed25519 signing key, one line
	// "ed25519 <key id> <unpadded base64 seed>". Default: DataDir/signing.key,
	// generated at first start.
	SigningKeyFile string `json:"signingKeyFile,omitempty"`

	Database     Database     `json:"database,omitempty"`
	Listen       Listen       `json:"listen,omitempty"`
	WellKnown    WellKnown    `json:"wellKnown,omitempty"`
	Federation   Federation   `json:"federation,omitempty"`
	Registration Registration `json:"registration,omitempty"`
	// Admins are created at start when absent; each reads its password from a file.
	Admins []Admin `json:"admins,omitempty"`
	Rooms  Rooms   `json:"rooms,omitempty"`
	// Outbound is for requests to addresses that others chose, as of push gateways.
	Outbound Outbound `json:"outbound,omitzero"`
	Media    Media    `json:"media,omitempty"`
	Turn     Turn     `json:"turn,omitzero"`
	Presence Presence `json:"presence,omitzero"`
	// RateLimits and LogLevel are re-read without a restart.
	RateLimits RateLimits `json:"rateLimits,omitempty"`
	// LogLevel is one of debug, info, warn, error. Default info.
	LogLevel string `json:"logLevel,omitempty"`
}

// Database selects the store. Empty: SQLite in DataDir.
type Database struct {
	// URLFile holds a postgres:// URL. Not given: embedded SQLite.
	URLFile string `json:"urlFile,omitempty"`
	// URL is the same given directly, as on the command line; URLFile is
	// preferred because files can be kept secret.
	URL string `json:"url,omitempty"`
	// Synchronous is the SQLite durability: FULL (default; an acknowledged
	// change survives a power cut) or NORMAL.
	Synchronous string `json:"synchronous,omitempty"`
}

// Listen holds host:port addresses.
type Listen struct {
	// Client serves the client-server API. Default 127.0.0.1:8008.
	Client string `json:"client,omitempty"`
	// Federation serves the server-server API; empty: not served.
	Federation string `json:"federation,omitempty"`
	// Internal serves /healthz, /readyz and /metrics; empty: the client listener serves them too.
	Internal string `json:"internal,omitempty"`
	// TrustedProxies are CIDRs whose X-Forwarded-For is believed.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
}

// WellKnown is what /.well-known/matrix/* answers, when enabled.
type WellKnown struct {
	Enabled bool `json:"enabled,omitempty"`
	// Server is the m.server value, host:port. Default: host of PublicBaseURL with port 443.
	Server string `json:"server,omitempty"`
}

// Federation limits whom the server talks to.
type Federation struct {
	Enabled bool     `json:"enabled,omitempty"`
	Allowed []string `json:"allowed,omitempty"`
	Denied  []string `json:"denied,omitempty"`
}

// RegistrationMode says who may create an account.
type RegistrationMode string

// The registration modes.
const (
	RegistrationClosed RegistrationMode = "Closed"
	RegistrationToken  RegistrationMode = "Token"
	RegistrationOpen   RegistrationMode = "Open"
)

// Registration says who may create an account.
type Registration struct {
	// Mode is Closed (default), Token or Open.
	Mode RegistrationMode `json:"mode,omitempty"`
	// TokenFile holds registration tokens, one a line, for mode Token; they
	// have no limits. Administrators make others over HTTP, and need no file.
	TokenFile string `json:"tokenFile,omitempty"`
	// SharedSecretFile holds the secret of /_synapse/admin/v1/register, with
	// which tools create accounts in every mode. Not given: it is not served.
	// It is served by the internal listener, or by the client listener where
	// there is no internal one.
	SharedSecretFile string `json:"sharedSecretFile,omitempty"`
}

// Admin is a server administrator's account.
type Admin struct {
	// Localpart is the part of the user id between @ and :.
	Localpart string `json:"localpart"`
	// PasswordFile holds its password; read only when the account is created.
	PasswordFile string `json:"passwordFile,omitempty"`
}

// Rooms are defaults for new rooms.
type Rooms struct {
	// DefaultVersion of new rooms. Default "12".
	DefaultVersion string `json:"defaultVersion,omitempty"`
}

// Outbound says which addresses the server connects to when others chose
// them. Without it those are the public ones.
type Outbound struct {
	// AllowedNetworks are CIDRs that may be connected to although they are not
	// public, for example of a push gateway in the same cluster.
	AllowedNetworks []string `json:"allowedNetworks,omitempty"`
	// CAFile holds certificates, in PEM, of authorities that are trusted
	// besides the system's.
	CAFile string `json:"caFile,omitempty"`
}

// Media limits uploads.
type Media struct {
	// MaxUploadBytes is the largest upload in bytes. Default 104857600 (100 MiB).
	MaxUploadBytes int64 `json:"maxUploadBytes,omitempty"`
	// MaxUserBytes is how much one user may upload in all, in bytes; every file
	// counts at least 4096. Default 10737418240 (10 GiB); negative: no limit.
	MaxUserBytes int64 `json:"maxUserBytes,omitempty"`
	// Dir holds the files. Default: DataDir/media.
	Dir string `json:"dir,omitempty"`
}

// Presence is whether users see who is there of those they share a room with.
type Presence struct {
	// Enabled switches it on. It is kept in memory by each replica for the
	// users who sync with it, and lost at a restart. Default false: it makes
	// clients sync more often.
	Enabled bool `json:"enabled,omitempty"`
}

// RateLimit is a token bucket. Zero PerSecond: the default; negative: no limit.
type RateLimit struct {
	// PerSecond is how many are allowed a second in the long run.
	PerSecond float64 `json:"perSecond,omitempty"`
	// Burst is how many may come at once.
	Burst int `json:"burst,omitempty"`
}

// RateLimits are per user, or per address for what comes before signing in.
type RateLimits struct {
	// Disabled switches all of them off; for bridges' hosts and load tests.
	Disabled     bool      `json:"disabled,omitempty"`
	Message      RateLimit `json:"message,omitempty"`      // default 10/s, burst 100
	Login        RateLimit `json:"login,omitempty"`        // default 0.5/s, burst 10
	Registration RateLimit `json:"registration,omitempty"` // default 0.2/s, burst 5
	Join         RateLimit `json:"join,omitempty"`         // default 1/s, burst 20
	Invite       RateLimit `json:"invite,omitempty"`       // default 1/s, burst 30
	Media        RateLimit `json:"media,omitempty"`        // default 5/s, burst 50
}
