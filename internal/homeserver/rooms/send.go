// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// Txn is the client's request that sends an event: if it comes again, the
// answer is the event that it sent before.
type Txn struct {
	DeviceID string
	// Request is method and path, ID the transaction id in it.
	Request, ID string
}

// SendRequest asks for an event to be sent.
type SendRequest struct {
	RoomID event.RoomID
	Sender event.UserID
	Type   string
	// StateKey is nil for an event that is no state.
	StateKey *string
	// Content is a JSON object.
	Content []byte
	// Txn is nil where the request has no transaction id.
	Txn *Txn
}

// Send sends an event and returns its id once it is on disk. A state event
// that says what the room's state says already, by the same sender, is not sent again.
//
// Errors that clients see: M_FORBIDDEN, M_BAD_JSON, M_TOO_LARGE, those of
// Redact for m.room.redaction, M_DUPLICATE_ANNOTATION, M_UNKNOWN for a thread
// inside another one, and for some types of state M_INVALID_PARAM, M_BAD_ALIAS,
// M_INVALID_ROOM_STATE and M_INVITE_BLOCKED.
func (s *Service) Send(ctx context.Context, r SendRequest) (event.EventID, error) {
	id, err := s.once(ctx, r.Sender, r.Txn, func(key *store.TxnKey) (event.EventID, error) {
		e, err := s.entryFor(ctx, r.RoomID)
		if err != nil {
			return "", err
		}
		p := &proposal{sender: r.Sender, typ: r.Type, stateKey: r.StateKey, content: r.Content}
		p.setTxn(key, r.Txn)
		switch {
		case r.Type == typeRedaction && r.StateKey == nil:
			err = s.prepareRedaction(ctx, e, p)
		case r.StateKey != nil:
			err = s.prepareState(ctx, p)
		default:
			err = s.prepareRelation(ctx, e, p)
		}
		var id event.EventID
		if err == nil {
			id, err = s.finish(s.submit(ctx, e, p))
		}
		return id, s.hideReason(ctx, e, p, err)
	})
	if errors.Is(err, store.ErrExists) {
		err = errDuplicateAnnotation() // all else that is unique was unique
	}
	return id, err
}

// hideReason keeps from a sender who is not in the room what is wrong with
// the event: it could tell them of the room's events and aliases, and that
// there is such a room. A membership of their own is what they may ask for.
func (s *Service) hideReason(ctx context.Context, e *roomEntry, p *proposal, err error) error {
	var shown *matrixerr.Error
	own := p.typ == typeMember && p.stateKey != nil && *p.stateKey == string(p.sender)
	if !errors.As(err, &shown) || shown.Status >= http.StatusTooManyRequests || own {
		return err
	}
	m, ok, failed := s.MembershipIn(ctx, p.sender, e.info.NID)
	if failed != nil {
		return failed
	}
	if !ok || m.Membership != Join {
		return errNotInRoom()
	}
	return err
}

// finish treats an event that stands already like one that was sent.
func (s *Service) finish(ev *StoredEvent, err error) (event.EventID, error) {
	if err != nil && !errors.Is(err, errUnchanged) {
		return "", err
	}
	return ev.ID(), nil
}

func (p *proposal) setTxn(key *store.TxnKey, txn *Txn) {
	if txn != nil {
		p.txn, p.txnID = key, txn.ID
	}
}

// entryFor returns the room; to a sender an unknown room is one that they are not in.
func (s *Service) entryFor(ctx context.Context, room event.RoomID) (*roomEntry, error) {
	e, err := s.entry(ctx, room)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNotInRoom()
	}
	return e, err
}

// txnSize is about the memory of a request that is remembered.
const txnSize = 400

// once makes sure that a request is carried out once: a copy waits for the
// first and gets its answer. The unique key in the database is what counts;
// memory only spares asking.
func (s *Service) once(ctx context.Context, user event.UserID, txn *Txn, send func(*store.TxnKey) (event.EventID, error)) (event.EventID, error) {
	if txn == nil {
		return send(nil)
	}
	key := store.TxnKey{UserID: string(user), DeviceID: txn.DeviceID, Request: txn.Request}
	for {
		s.pendingMu.Lock()
		first := s.sending[key]
		if id, ok, _ := s.sent.get(key); ok {
			s.pendingMu.Unlock()
			return id, nil
		}
		if first == nil {
			break
		}
		s.pendingMu.Unlock()
		select {
		case <-first:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	done := make(chan struct{})
	s.sending[key] = done
	s.pendingMu.Unlock()

	id, err := send(&key)
	if isRepeated(err) {
		first := err
		if id, err = s.sentBefore(ctx, key); errors.Is(err, store.ErrNotFound) {
			err = first // it was not this request that had sent it
		}
	}
	s.pendingMu.Lock()
	defer s.pendingMu.Unlock()
	if err == nil {
		s.sent.set(key, id, txnSize)
	}
	delete(s.sending, key)
	close(done)
	return id, err
}

// isRepeated reports whether a request failed on something that it may have sent itself before.
func isRepeated(err error) bool {
	return errors.Is(err, store.ErrExists) || matrixerr.Is(err, matrixerr.CodeDuplicateAnnotation)
}

// sentBefore returns the event that the request sent, perhaps through another replica.
func (s *Service) sentBefore(ctx context.Context, key store.TxnKey) (event.EventID, error) {
	id, pos, err := s.store.TxnEvent(ctx, key)
	if err != nil {
		return "", fmt.Errorf("read event of a repeated request: %w", err)
	}
	// Who was told of an event finds it.
	if err := s.store.Log().Wait(ctx, pos-1); err != nil {
		return "", err
	}
	return event.EventID(id), nil
}

// RedactRequest asks for an event to be stripped.
type RedactRequest struct {
	RoomID  event.RoomID
	Sender  event.UserID
	EventID event.EventID
	// Reason is empty for none.
	Reason string
	Txn    *Txn
}

// Redact strips an event and returns the id of the redaction.
//
// Errors that clients see: M_FORBIDDEN, to those who are not in the room for
// any event; M_NOT_FOUND for an event that is not in the room or hidden from
// the sender.
func (s *Service) Redact(ctx context.Context, r RedactRequest) (event.EventID, error) {
	content := struct {
		Redacts event.EventID `json:"redacts"`
		Reason  string        `json:"reason,omitempty"`
	}{r.EventID, r.Reason}
	raw, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode redaction: %w", err)
	}
	return s.Send(ctx, SendRequest{RoomID: r.RoomID, Sender: r.Sender, Type: typeRedaction, Content: raw, Txn: r.Txn})
}

// prepareRedaction finds the event that content.redacts names, wherever the
// room's version wants the id in the end.
func (s *Service) prepareRedaction(ctx context.Context, e *roomEntry, p *proposal) error {
	fields, err := fieldsOf(p.content)
	if err != nil {
		return err
	}
	var id event.EventID
	if raw, ok := fields["redacts"]; !ok || json.Unmarshal(raw, &id) != nil {
		return matrixerr.BadJSON("content.redacts must be an event id")
	}
	if _, err := event.ParseEventID(string(id)); err != nil {
		return errEventNotFound() // no event has such an id, and not every database would look for it
	}
	delete(fields, "redacts")
	if p.content, err = json.Marshal(fields); err != nil {
		return fmt.Errorf("encode redaction: %w", err)
	}
	target, err := s.EventByID(ctx, e.info, id)
	if errors.Is(err, store.ErrNotFound) {
		return errEventNotFound()
	}
	if err != nil {
		return err
	}
	seen, err := s.Visible(ctx, p.sender, []*StoredEvent{target})
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		return errEventNotFound()
	}
	if target.Type() == typeCreate {
		return matrixerr.Forbidden("the create event of a room cannot be redacted")
	}
	p.target, p.redacts, p.decide = target, target.ID(), mayRedact
	return nil
}

// errEventNotFound is the same for events that do not exist and for hidden ones.
func errEventNotFound() error { return matrixerr.NotFound("event not found") }

// mayRedact refuses to redact the events of others without the level for it.
// The rules of version 3 on let such a redaction into the room, and leave it to
// each server whether to apply it.
// https://spec.matrix.org/v1.19/rooms/v3/#handling-redactions
func mayRedact(ctx context.Context, t *turn, p *proposal) error {
	if p.target.Sender() == p.sender {
		return nil
	}
	levels, err := t.levels(ctx)
	if err != nil {
		return err
	}
	level, err := t.level(ctx, p.sender)
	if err != nil {
		return err
	}
	if level < levels.Redact() {
		return matrixerr.Forbidden("you are not allowed to redact the events of others in this room")
	}
	return nil
}

// levels returns the power levels that hold in the room.
func (t *turn) levels(ctx context.Context) (*event.PowerLevels, error) {
	ev, err := t.state(ctx, event.StateKey{Type: typePowerLevels})
	if err != nil {
		return nil, err
	}
	if ev != nil {
		return ev.PowerLevels()
	}
	create, err := t.state(ctx, event.StateKey{Type: typeCreate})
	if err != nil || create == nil {
		return t.entry.info.Rules.DefaultPowerLevels(nil), err
	}
	return t.entry.info.Rules.DefaultPowerLevels(create.Event), nil
}

// level returns the power level of user; creators of version 12 have the largest int64.
func (t *turn) level(ctx context.Context, user event.UserID) (int64, error) {
	if err := t.preload(ctx, event.StateKey{Type: typePowerLevels}, event.StateKey{Type: typeCreate}); err != nil {
		return 0, err
	}
	level, _ := t.entry.info.Rules.Level(t.authState(), user)
	return level, nil
}
