// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

var errNotYet = errors.New("not yet")

// EventsByNID returns the events in the order asked; those that do not exist are left out.
func (s *Service) EventsByNID(ctx context.Context, nids []int64) ([]*StoredEvent, error) {
	return nil, errNotYet
}

// RoomByNID returns the room, or store.ErrNotFound.
func (s *Service) RoomByNID(ctx context.Context, nid int64) (*Info, error) { return nil, errNotYet }

// RoomByID returns the room, or store.ErrNotFound.
func (s *Service) RoomByID(ctx context.Context, id event.RoomID) (*Info, error) {
	return nil, errNotYet
}

// Timeline returns events of one room that belong to its timeline, whether or not anybody may see them.
func (s *Service) Timeline(ctx context.Context, q TimelineQuery) ([]*StoredEvent, error) {
	return nil, errNotYet
}

// StateAt returns a view of the state stateNID.
func (s *Service) StateAt(ctx context.Context, stateNID int64) (*StateView, error) {
	return nil, errNotYet
}

// StateAfter returns a view of the state after ev.
func (s *Service) StateAfter(ctx context.Context, ev *StoredEvent) (*StateView, error) {
	return nil, errNotYet
}

// CurrentState returns a view of the newest state of the room.
func (s *Service) CurrentState(ctx context.Context, roomNID int64) (*StateView, error) {
	return nil, errNotYet
}

// StateView is a room state that is read as far as it is asked. It never changes.
type StateView struct{}

// Get returns the event that sets key; false if none does.
func (v *StateView) Get(ctx context.Context, key event.StateKey) (nid int64, ok bool, err error) {
	return 0, false, errNotYet
}

// All returns the whole state, ordered by nothing in particular but always the same.
func (v *StateView) All(ctx context.Context) ([]StateEntry, error) { return nil, errNotYet }

// NonMembers returns the state without m.room.member, which is cheap however many members there are.
func (v *StateView) NonMembers(ctx context.Context) ([]StateEntry, error) { return nil, errNotYet }

// NIDs returns the events of the whole state without looking up their keys.
func (v *StateView) NIDs() []int64 { return nil }

// StateDelta returns how the current state of the room changed in from < position <= to.
func (s *Service) StateDelta(ctx context.Context, roomNID, from, to int64) ([]DeltaEntry, error) {
	return nil, errNotYet
}

// MembershipsOf returns every room that the user ever had a membership in. Cached; read only.
func (s *Service) MembershipsOf(ctx context.Context, user event.UserID) ([]Membership, error) {
	return nil, errNotYet
}

// MembershipIn returns the user's membership in the room; ok is false if there never was one.
func (s *Service) MembershipIn(ctx context.Context, user event.UserID, roomNID int64) (m Membership, ok bool, err error) {
	return Membership{}, false, errNotYet
}

// Members returns the members of the room with one of the memberships, or all if none is given, by user id.
func (s *Service) Members(ctx context.Context, roomNID int64, memberships ...string) ([]Membership, error) {
	return nil, errNotYet
}

// Counts returns how many users are joined to and invited to the room. Cached.
func (s *Service) Counts(ctx context.Context, roomNID int64) (joined, invited int, err error) {
	return 0, 0, errNotYet
}

// Visible returns the events of one room that user may see, in the given
// order. A state event whose predecessor is hidden from user loses Replaces.
func (s *Service) Visible(ctx context.Context, user event.UserID, events []*StoredEvent) ([]*StoredEvent, error) {
	return nil, errNotYet
}

// MembershipsAt returns what user was to the room at each of the events (MSC4115).
func (s *Service) MembershipsAt(ctx context.Context, user event.UserID, events []*StoredEvent) ([]string, error) {
	return nil, errNotYet
}

// ClientEvent appends ev in the client format to dst, with everything in
// unsigned that v may know.
func (s *Service) ClientEvent(dst []byte, ev *StoredEvent, v Viewer) []byte { return dst }

// StrippedState returns what an invited (or knocking) user may know of the room, in the stripped state format.
func (s *Service) StrippedState(ctx context.Context, roomNID int64, user event.UserID) ([]json.RawMessage, error) {
	return nil, errNotYet
}

// SharedRoomUsers returns the users who are joined to a room that user is joined to, without user, by id.
func (s *Service) SharedRoomUsers(ctx context.Context, user event.UserID) ([]event.UserID, error) {
	return nil, errNotYet
}

// ShareRoom reports whether both users are joined to one room.
func (s *Service) ShareRoom(ctx context.Context, a, b event.UserID) (bool, error) {
	return false, errNotYet
}
