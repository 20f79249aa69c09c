// SPDX-License-Identifier: Apache-2.0

package event

import "errors"

// ServerName is the name of a homeserver: a host and an optional port.
type ServerName string

// UserID is "@localpart:server".
type UserID string

// RoomID is "!opaque:server", or "!" and a hash in version 12.
type RoomID string

// RoomAlias is "#localpart:server".
type RoomAlias string

// EventID is "$" and a hash, or "$opaque:server" in versions 1 and 2.
type EventID string

// ParseServerName checks s.
func ParseServerName(s string) (ServerName, error) { return "", errors.New("not yet") }

// ParseUserID checks s.
func ParseUserID(s string) (UserID, error) { return "", errors.New("not yet") }

// NewUserID makes a user id.
func NewUserID(localpart string, s ServerName) (UserID, error) { return "", errors.New("not yet") }

// Localpart returns the part before the colon.
func (u UserID) Localpart() string { return "" }

// Server returns the part after the colon.
func (u UserID) Server() ServerName { return "" }

// ParseRoomID checks s.
func ParseRoomID(s string) (RoomID, error) { return "", errors.New("not yet") }

// Server returns the server part.
func (r RoomID) Server() (ServerName, bool) { return "", false }

// ParseRoomAlias checks s.
func ParseRoomAlias(s string) (RoomAlias, error) { return "", errors.New("not yet") }

// Localpart returns the part before the colon.
func (a RoomAlias) Localpart() string { return "" }

// Server returns the part after the colon.
func (a RoomAlias) Server() ServerName { return "" }

// ParseEventID checks s.
func ParseEventID(s string) (EventID, error) { return "", errors.New("not yet") }
