// SPDX-License-Identifier: Apache-2.0

package event

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// maxID is the longest identifier, event type and state key, in bytes
// (client-server API, "Size limits").
const maxID = 255

// ServerName is the name of a homeserver: a host and an optional port. Names
// differ when their case differs.
type ServerName string

// UserID is "@localpart:server".
type UserID string

// RoomID is "!opaque:server", or "!" and a hash from room version 12 on.
type RoomID string

// RoomAlias is "#localpart:server".
type RoomAlias string

// EventID is "$" and a hash, or "$opaque:server" in room versions 1 and 2.
type EventID string

func invalid(kind, value, why string) error {
	if len(value) > maxID {
		value = value[:maxID]
	}
	return fmt.Errorf("%w: %s %q %s", ErrInvalidID, kind, value, why)
}

// ParseServerName checks s against the grammar of server names (appendices,
// "Server Name"). The error is an ErrInvalidID.
func ParseServerName(s string) (ServerName, error) {
	if why := serverFault(s); why != "" {
		return "", invalid("server name", s, why)
	}
	return ServerName(s), nil
}

// serverFault says what is wrong with a server name, "" if nothing is.
func serverFault(s string) string {
	if len(s) > maxID {
		return "is longer than 255 bytes"
	}
	var host, port string
	var found bool
	if end := strings.IndexByte(s, ']'); strings.HasPrefix(s, "[") && end > 0 {
		host = s[:end+1]
		found = end+1 < len(s)
		if found && s[end+1] != ':' {
			return "has text after the IPv6 address"
		}
		port = strings.TrimPrefix(s[end+1:], ":")
	} else {
		host, port, found = strings.Cut(s, ":")
	}
	if found && !isPort(port) {
		return "has a port that is not 1 to 5 digits"
	}
	return hostFault(host)
}

func isPort(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 5
}

func hostFault(host string) string {
	if host == "" {
		return "has no host"
	}
	if host[0] == '[' {
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "is no IPv6 address"
		}
		return ""
	}
	for i := range len(host) {
		b := host[i]
		letter := 'a' <= b|0x20 && b|0x20 <= 'z'
		if !letter && (b < '0' || b > '9') && b != '-' && b != '.' {
			return "has a character that host names may not have"
		}
	}
	return ""
}

// idFault says what is wrong with "&localpart:server", "" if nothing is. A
// localpart is any UTF-8 without ":" and NUL.
func idFault(sigil byte, s string) string {
	if s == "" || s[0] != sigil {
		return "does not begin with " + string(rune(sigil))
	}
	if len(s) > maxID {
		return "is longer than 255 bytes"
	}
	local, server, found := strings.Cut(s[1:], ":")
	if !found {
		return "has no server name"
	}
	if why := opaqueFault(local); why != "" {
		return why
	}
	if why := serverFault(server); why != "" {
		return "has a server name that " + why
	}
	return ""
}

// namedFault is idFault for ids whose localpart must not be empty.
func namedFault(sigil byte, s string) string {
	why := idFault(sigil, s)
	if why == "" && localOf(s) == "" {
		return "has nothing before the colon"
	}
	return why
}

func opaqueFault(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		return "has a NUL"
	}
	if !utf8.ValidString(s) {
		return "is not UTF-8"
	}
	return ""
}

// localOf returns what stands between the sigil and the first colon.
func localOf(id string) string {
	local, _, found := strings.Cut(id, ":")
	if !found || local == "" {
		return ""
	}
	return local[1:]
}

func serverOf(id string) ServerName {
	_, server, _ := strings.Cut(id, ":")
	return ServerName(server)
}

// ParseUserID accepts the historical grammar, any localpart without ":" and NUL,
// even an empty one: events of such users exist and must be handled (appendices,
// "Historical User IDs"). The error is an ErrInvalidID.
func ParseUserID(s string) (UserID, error) {
	if why := idFault('@', s); why != "" {
		return "", invalid("user id", s, why)
	}
	return UserID(s), nil
}

// NewUserID makes the id of a new user, whose localpart may hold only
// a-z 0-9 . _ = - / +. The error is an ErrInvalidID.
func NewUserID(localpart string, s ServerName) (UserID, error) {
	id := "@" + localpart + ":" + string(s)
	if localpart == "" {
		return "", invalid("user id", id, "has no localpart")
	}
	for i := range len(localpart) {
		b := localpart[i]
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && strings.IndexByte("._=-/+", b) < 0 {
			return "", invalid("user id", id, "may have only a-z, 0-9 and ._=-/+ in its localpart")
		}
	}
	return ParseUserID(id)
}

// Localpart returns the part between "@" and the colon.
func (u UserID) Localpart() string { return localOf(string(u)) }

// Server returns the server that the user belongs to.
func (u UserID) Server() ServerName { return serverOf(string(u)) }

// ParseRoomID accepts "!opaque:server", and "!" with 43 characters of URL-safe
// base64, the form of version 12. The error is an ErrInvalidID.
func ParseRoomID(s string) (RoomID, error) {
	if isHashID('!', s) {
		return RoomID(s), nil
	}
	if why := namedFault('!', s); why != "" {
		return "", invalid("room id", s, why)
	}
	return RoomID(s), nil
}

// isHashID reports whether s is the sigil and a sha256 in URL-safe base64.
func isHashID(sigil byte, s string) bool {
	if len(s) != 44 || s[0] != sigil {
		return false
	}
	for i := 1; i < len(s); i++ {
		b := s[i]
		letter := 'a' <= b|0x20 && b|0x20 <= 'z'
		if !letter && (b < '0' || b > '9') && b != '-' && b != '_' {
			return false
		}
	}
	return true
}

// Server returns the server in the id, which only namespaces it: that server
// need not be in the room. False for a room of version 12, whose id has none.
func (r RoomID) Server() (ServerName, bool) {
	s := serverOf(string(r))
	return s, s != ""
}

// createEventID returns the id of the create event of a version 12 room.
func (r RoomID) createEventID() EventID {
	if !isHashID('!', string(r)) {
		return ""
	}
	return EventID("$" + string(r[1:]))
}

// ParseRoomAlias accepts "#localpart:server". The error is an ErrInvalidID.
func ParseRoomAlias(s string) (RoomAlias, error) {
	if why := namedFault('#', s); why != "" {
		return "", invalid("room alias", s, why)
	}
	return RoomAlias(s), nil
}

// Localpart returns the part between "#" and the colon.
func (a RoomAlias) Localpart() string { return localOf(string(a)) }

// Server returns the server that made the alias and can resolve it.
func (a RoomAlias) Server() ServerName { return serverOf(string(a)) }

// ParseEventID accepts "$" and any opaque text; a colon, as in room versions 1
// and 2, must be followed by a server name. The error is an ErrInvalidID.
func ParseEventID(s string) (EventID, error) {
	if why := eventIDFault(s); why != "" {
		return "", invalid("event id", s, why)
	}
	return EventID(s), nil
}

func eventIDFault(s string) string {
	if strings.IndexByte(s, ':') >= 0 {
		return idFault('$', s)
	}
	switch {
	case s == "" || s[0] != '$':
		return "does not begin with $"
	case len(s) == 1:
		return "has nothing after $"
	case len(s) > maxID:
		return "is longer than 255 bytes"
	}
	return opaqueFault(s)
}

// server returns the server of an id of versions 1 and 2, "" for others.
func (id EventID) server() ServerName { return serverOf(string(id)) }
