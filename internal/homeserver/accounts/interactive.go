// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// Interactive authentication: before a sensitive operation a client completes
// one stage of those it is offered.
// https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api
//
// Every flow here has a single stage, so a session has no progress to keep: it
// is a signed note of the user, the operation, what it is done to, and its
// end, which any replica can check and which a flood of first requests cannot
// fill a table with. It need not end with its first success, nor hold the
// body: the proof of a stage comes in the same request as the body that it
// allows, and what must count once (a registration token) is spent in the
// transaction that it allows.

// Auth is the auth object of a request.
type Auth struct {
	Type    string `json:"type"`
	Session string `json:"session"`
	// Token is for m.login.registration_token.
	Token string `json:"token"`
	// Identifier, User and Password are for m.login.password.
	Identifier Identifier `json:"identifier"`
	User       string     `json:"user"`
	Password   string     `json:"password"`
}

// Identifier says whom a sign-in is about.
// https://spec.matrix.org/v1.19/client-server-api/#identifier-types
type Identifier struct {
	Type string `json:"type"`
	User string `json:"user"`
}

const (
	stageDummy    = "m.login.dummy"
	stageToken    = "m.login.registration_token"
	stagePassword = "m.login.password"
)

// stage checks what the client sent for one stage.
type stage func(*Auth) error

// sessionLife is how long a client may take to complete a stage.
const sessionLife = 15 * time.Minute

// interact returns nil when auth completes one of stages for operation, else
// 401 with what has to be done. A session of another operation, or one that
// ended, begins anew; a stage that is not offered does nothing.
func (s *Service) interact(auth *Auth, operation string, stages map[string]stage) error {
	if auth == nil || auth.Type == "" && auth.Session == "" {
		return s.challenge(s.newInteraction(operation), stages, nil)
	}
	session := auth.Session
	if session == "" {
		session = s.newInteraction(operation) // a client that knows the stage beforehand may save a request
	}
	if !s.validInteraction(session, operation) {
		return s.challenge(s.newInteraction(operation), stages, nil)
	}
	check := stages[auth.Type]
	if auth.Type == "" { // asks what is left to do
		return s.challenge(session, stages, nil)
	}
	if check == nil {
		return s.challenge(session, stages, matrixerr.New(0, matrixerr.CodeUnrecognized, "this stage is not offered"))
	}
	err := check(auth)
	var refused *matrixerr.Error
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return s.challenge(session, stages, refused)
	}
	return err
}

// challenge is the 401 answer; reason, if any, says why the stage failed.
func (s *Service) challenge(session string, stages map[string]stage, reason *matrixerr.Error) error {
	type flow struct {
		Stages []string `json:"stages"`
	}
	flows := []flow{}
	for name := range stages {
		flows = append(flows, flow{[]string{name}})
	}
	slices.SortFunc(flows, func(a, b flow) int { return slices.Compare(a.Stages, b.Stages) })
	e := &matrixerr.Error{Status: http.StatusUnauthorized, Fields: map[string]any{
		"session": session, "flows": flows, "params": struct{}{}, "completed": []string{},
	}}
	if reason != nil {
		e.Code, e.Message = reason.Code, reason.Message
	}
	return e
}

func (s *Service) newInteraction(operation string) string {
	return s.newNote(operation, sessionLife)
}

func (s *Service) validInteraction(session, operation string) bool {
	_, ok := s.readNote(session, operation)
	return ok
}

// newNote returns a signed note for a purpose: its end, a nonce, and a
// signature of both and the purpose.
func (s *Service) newNote(purpose string, life time.Duration) string {
	head := binary.BigEndian.AppendUint64(nil, uint64(s.Now().Add(life).UnixMilli()))
	head = append(head, randomText(6)...)
	return base64.RawURLEncoding.EncodeToString(append(head, s.signNote(head, purpose)...))
}

const noteHead = 8 + 8 // time and nonce

func (s *Service) signNote(head []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write(head)
	mac.Write([]byte(purpose))
	return mac.Sum(nil)[:16]
}

// readNote returns when a note ends, and whether it is one for this purpose
// that has not ended.
func (s *Service) readNote(note, purpose string) (ends time.Time, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(note)
	if err != nil || len(raw) != noteHead+16 {
		return ends, false
	}
	head, signature := raw[:noteHead], raw[noteHead:]
	ends = time.UnixMilli(int64(binary.BigEndian.Uint64(head)))
	return ends, hmac.Equal(signature, s.signNote(head, purpose)) && s.Now().Before(ends)
}

// Confirm makes the user prove who they are, by password, before operation is
// carried out, for example "device_signing/upload". auth is the request's auth
// member, empty in a first request. Errors for clients: 401 with flows,
// M_LIMIT_EXCEEDED.
func (s *Service) Confirm(ctx context.Context, user event.UserID, operation string, auth json.RawMessage) error {
	var a *Auth
	if len(auth) > 0 && string(auth) != "null" {
		a = &Auth{}
		if err := httpapi.DecodeJSON(auth, a); err != nil {
			return err
		}
	}
	return s.interact(a, operation+" "+string(user), map[string]stage{stagePassword: func(a *Auth) error {
		name := a.Identifier.User
		if name == "" {
			name = a.User
		}
		if a.Identifier.Type != "" && a.Identifier.Type != "m.id.user" || s.userOf(name) != user {
			return errForbidden()
		}
		_, err := s.checkPassword(ctx, user, a.Password)
		return err
	}})
}
