// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

func (a *API) syncRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/sync", Auth: httpapi.User, Timeout: -1, Quiet: true, Handler: a.sync},
	}
}

// syncWriteTime is how long a client may take to receive a piece of the answer.
const syncWriteTime = time.Minute

// sync tells the caller what changed since a token, and waits for it if need
// be. Where the answer is large it is written while it is made.
//
// GET /_matrix/client/v3/sync
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
func (a *API) sync(w http.ResponseWriter, r *httpapi.Request) error {
	q, err := a.syncRequest(r.Context(), r.Caller, r.URL.Query())
	if err != nil {
		return err
	}
	q.Check = r.StillAllowed
	begun := false
	q.Write = func(piece []byte) error {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/json")
		}
		return writePiece(w, piece)
	}
	body, err := a.stream.Sync(r.Context(), *q)
	if err != nil {
		return err
	}
	if !begun {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	return writePiece(w, body)
}

func writePiece(w http.ResponseWriter, piece []byte) error {
	err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(syncWriteTime))
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		_, err = w.Write(piece)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", httpapi.ErrClientGone, err)
	}
	return nil
}

// syncRequest reads the parameters.
func (a *API) syncRequest(ctx context.Context, caller httpapi.Caller, q url.Values) (*stream.Request, error) {
	r := &stream.Request{User: caller.UserID, Device: caller.DeviceID}
	var err error
	if r.FullState, err = boolParam(q, "full_state"); err != nil {
		return nil, err
	}
	if r.UseStateAfter, err = boolParam(q, "use_state_after"); err != nil {
		return nil, err
	}
	if r.Timeout, err = timeoutParam(q.Get("timeout")); err != nil {
		return nil, err
	}
	if since := q.Get("since"); since != "" {
		token, err := stream.ParseToken(since)
		if err != nil {
			return nil, matrixerr.InvalidParam("since is no token of this server")
		}
		r.Since = &token
	}
	if r.Presence = stream.PresenceState(q.Get("set_presence")); r.Presence == "" {
		r.Presence = stream.PresenceOnline
	}
	if !r.Presence.Valid() {
		return nil, matrixerr.InvalidParam("set_presence is offline, online or unavailable")
	}
	r.Filter, err = a.stream.ParseFilter(ctx, caller.UserID, q.Get("filter"))
	return r, err
}

func boolParam(q url.Values, name string) (bool, error) {
	switch q.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, matrixerr.InvalidParam(name + " is true or false")
	}
}

// timeoutParam reads milliseconds; more than a sync waits at most is that.
func timeoutParam(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	ms, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, matrixerr.InvalidParam("timeout is a number of milliseconds")
	}
	return time.Duration(min(ms, uint64(stream.MaxTimeout.Milliseconds()))) * time.Millisecond, nil
}
