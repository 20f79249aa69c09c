// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

func (a *API) sendRoutes() []httpapi.Route {
	const room = "/_matrix/client/v3/rooms/{roomId}/"
	return []httpapi.Route{
		{Method: "PUT", Path: room + "send/{eventType}/{txnId}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.sendEvent)},
		{Method: "PUT", Path: room + "redact/{eventId}/{txnId}", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.redact)},
	}
}

// maxTxnID is the longest transaction id in bytes.
const maxTxnID = 255

// txn is the identity of a request that sends an event: its path, in the words
// of its parameters, so that no escaping makes a second request of one.
// https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
func txn(caller httpapi.Caller, id string, path ...string) (*rooms.Txn, error) {
	if len(id) > maxTxnID {
		return nil, matrixerr.InvalidParam("the transaction id is too long")
	}
	request := strings.Join(append(path, id), "\x00")
	return &rooms.Txn{DeviceID: caller.DeviceID, Request: request, ID: id}, nil
}

type sendRequest struct {
	RoomID  event.RoomID    `path:"roomId"`
	Type    string          `path:"eventType"`
	TxnID   string          `path:"txnId"`
	Content json.RawMessage `body:"raw"`
}

type sendResponse struct {
	EventID event.EventID `json:"event_id"`
}

// sendEvent sends a message event.
//
// PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
func (a *API) sendEvent(ctx context.Context, caller httpapi.Caller, r *sendRequest) (*sendResponse, error) {
	t, err := txn(caller, r.TxnID, "send", string(r.RoomID), r.Type)
	if err != nil {
		return nil, err
	}
	a.stream.Active(caller.UserID)
	return sent(a.rooms.Send(ctx, rooms.SendRequest{
		RoomID: r.RoomID, Sender: caller.UserID, Type: r.Type, Content: r.Content, Txn: t,
	}))
}

func sent(id event.EventID, err error) (*sendResponse, error) {
	if err != nil {
		return nil, err
	}
	return &sendResponse{id}, nil
}

type redactRequest struct {
	RoomID  event.RoomID  `path:"roomId"`
	EventID event.EventID `path:"eventId"`
	TxnID   string        `path:"txnId"`
	Reason  string        `json:"reason"`
}

// redact strips an event.
//
// PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid
func (a *API) redact(ctx context.Context, caller httpapi.Caller, r *redactRequest) (*sendResponse, error) {
	t, err := txn(caller, r.TxnID, "redact", string(r.RoomID), string(r.EventID))
	if err != nil {
		return nil, err
	}
	if caller.Suspended {
		ev, _, err := a.rooms.VisibleEvent(ctx, caller.UserID, r.RoomID, r.EventID)
		if err != nil {
			return nil, err
		}
		if ev.Sender() != caller.UserID {
			return nil, matrixerr.UserSuspended("a suspended user may only redact what they sent")
		}
	}
	return sent(a.rooms.Redact(ctx, rooms.RedactRequest{
		RoomID: r.RoomID, Sender: caller.UserID, EventID: r.EventID, Reason: r.Reason, Txn: t,
	}))
}
