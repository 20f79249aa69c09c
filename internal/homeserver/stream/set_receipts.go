// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// The types of receipts and markers.
const (
	ReceiptRead        = "m.read"
	ReceiptReadPrivate = store.ReceiptTypePrivate
	MarkerFullyRead    = "m.fully_read"
)

// mainThread is the thread of events that are in none.
const mainThread = "main"

// Marker is one place that a user has read a room up to.
type Marker struct {
	// Type is ReceiptRead, ReceiptReadPrivate or MarkerFullyRead.
	Type    string
	EventID event.EventID
	// Thread is "" for an unthreaded receipt, "main", or a thread's root.
	Thread string
}

// SetMarkers notes how far a user has read a room. What is behind an earlier
// marker of its kind changes nothing.
//
// Errors for clients: forbidden when the user is not in the room, not found
// when the event is not one of the room that the user may see, and an invalid
// parameter when the thread does not hold the event.
func (s *Service) SetMarkers(ctx context.Context, user event.UserID, roomID event.RoomID, markers []Marker) error {
	room, err := s.joinedRoom(ctx, user, roomID)
	if err != nil {
		return err
	}
	var receipts []store.Receipt
	var fullyRead *store.AccountData
	for _, m := range markers {
		ev, err := s.markedEvent(ctx, user, room, m)
		if err != nil {
			return err
		}
		if m.Type == MarkerFullyRead {
			fullyRead, err = s.fullyRead(ctx, user, room, ev)
		} else {
			receipts, err = s.receipt(ctx, receipts, store.Receipt{
				RoomNID: room.NID, UserID: string(user), Type: m.Type, Thread: m.Thread,
				EventID: string(m.EventID), EventPos: ev.StreamPos, TS: s.now().UnixMilli(),
			})
		}
		if err != nil {
			return fmt.Errorf("read earlier marker: %w", err)
		}
	}
	if len(receipts) == 0 && fullyRead == nil {
		return nil
	}
	if err := s.store.PutReceipts(ctx, receipts, fullyRead); err != nil {
		return fmt.Errorf("store receipts: %w", err)
	}
	return nil
}

// joinedRoom returns a room that the user is joined to.
func (s *Service) joinedRoom(ctx context.Context, user event.UserID, id event.RoomID) (*rooms.Info, error) {
	room, err := s.rooms.RoomByID(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, matrixerr.Forbidden("you are not in this room")
	}
	if err != nil {
		return nil, fmt.Errorf("read room: %w", err)
	}
	m, _, err := s.rooms.MembershipIn(ctx, user, room.NID)
	if err != nil {
		return nil, fmt.Errorf("read membership: %w", err)
	}
	if m.Membership != membershipJoin {
		return nil, matrixerr.Forbidden("you are not in this room")
	}
	return room, nil
}

// markedEvent returns the event that a marker points at.
func (s *Service) markedEvent(ctx context.Context, user event.UserID, room *rooms.Info, m Marker) (*rooms.StoredEvent, error) {
	ev, err := s.rooms.EventByID(ctx, room, m.EventID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read event: %w", err)
	}
	if err == nil {
		visible, err := s.rooms.Visible(ctx, user, []*rooms.StoredEvent{ev})
		if err != nil {
			return nil, fmt.Errorf("check visibility: %w", err)
		}
		if len(visible) == 0 {
			ev = nil
		}
	}
	if ev == nil {
		return nil, matrixerr.NotFound("this room has no such event")
	}
	if m.Thread == "" {
		return ev, nil
	}
	ok, err := s.inThread(ctx, room, ev, m.Thread)
	if err != nil {
		return nil, fmt.Errorf("find thread: %w", err)
	}
	if !ok {
		return nil, matrixerr.InvalidParam("the event does not belong to the thread of thread_id")
	}
	return ev, nil
}

// maxRelationHops is how far relations are followed to a thread, as the
// specification recommends.
const maxRelationHops = 3

// inThread reports whether an event may be read within a thread. The root,
// and what relates to it in other ways, lie in the main timeline, but clients
// show them in the thread as well and mark them read there.
//
// https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts
func (s *Service) inThread(ctx context.Context, room *rooms.Info, ev *rooms.StoredEvent, thread string) (bool, error) {
	for range maxRelationHops + 1 {
		content, _ := event.ParseObject(ev.Content())
		relation, _ := content.Object("m.relates_to")
		typ, _ := relation.String("rel_type")
		parent, _ := relation.String("event_id")
		switch {
		case typ == "m.thread" && parent != "":
			return parent == thread, nil
		case string(ev.ID()) == thread:
			return true, nil
		case parent == "" || typ == "":
			return thread == mainThread, nil
		}
		next, err := s.rooms.EventByID(ctx, room, event.EventID(parent))
		if errors.Is(err, store.ErrNotFound) {
			return thread == mainThread, nil
		}
		if err != nil {
			return false, err
		}
		ev = next
	}
	return thread == mainThread, nil
}

// receipt appends a receipt unless it would move back.
func (s *Service) receipt(ctx context.Context, all []store.Receipt, r store.Receipt) ([]store.Receipt, error) {
	pos, err := s.store.ReceiptPos(ctx, r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return append(all, r), nil
	case err != nil:
		return nil, err
	case r.EventPos <= pos:
		return all, nil
	}
	return append(all, r), nil
}

// fullyRead returns the account data of the read marker, nil if it would move back.
func (s *Service) fullyRead(ctx context.Context, user event.UserID, room *rooms.Info, ev *rooms.StoredEvent) (*store.AccountData, error) {
	old, err := s.store.AccountData(ctx, string(user), room.NID, MarkerFullyRead)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil && ev.StreamPos <= old.Guard {
		return nil, nil
	}
	content := append(event.AppendString([]byte(`{"event_id":`), string(ev.ID())), '}')
	return &store.AccountData{UserID: string(user), RoomNID: room.NID, Type: MarkerFullyRead, Content: content, Guard: ev.StreamPos}, nil
}
