// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

// maxKeysBody is the largest body of the requests that carry many keys.
const maxKeysBody = 5 << 20

func (a *API) keyRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/keys/upload", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.uploadKeys)},
		{Method: "POST", Path: "/_matrix/client/v3/keys/query", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.queryKeys)},
		{Method: "POST", Path: "/_matrix/client/v3/keys/claim", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.claimKeys)},
		{Method: "GET", Path: "/_matrix/client/v3/keys/changes", Auth: httpapi.User, Handler: httpapi.JSON(a.keyChanges)},
		{Method: "PUT", Path: "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.sendToDevice)},
	}
}

// e2eeError translates the refusals of package e2ee.
func e2eeError(err error) error {
	var wrong *e2ee.WrongVersionError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return matrixerr.New(http.StatusForbidden, matrixerr.CodeWrongRoomKeysVersion, err.Error()).
			With("current_version", wrong.Current)
	case errors.Is(err, e2ee.ErrTooLarge):
		return matrixerr.TooLarge(err.Error())
	case errors.Is(err, e2ee.ErrKeyTaken), errors.Is(err, e2ee.ErrMismatch):
		return matrixerr.InvalidParam(err.Error())
	case errors.Is(err, e2ee.ErrSignature):
		return matrixerr.BadRequest(matrixerr.CodeInvalidSignature, err.Error())
	case errors.Is(err, e2ee.ErrNoMasterKey):
		return matrixerr.BadRequest(matrixerr.CodeMissingParam, err.Error())
	case errors.Is(err, e2ee.ErrKeyIsDevice):
		return matrixerr.Forbidden(err.Error())
	case errors.Is(err, e2ee.ErrInvalid):
		return matrixerr.BadJSON(err.Error())
	case errors.Is(err, store.ErrTooMany):
		return matrixerr.New(http.StatusForbidden, matrixerr.CodeResourceLimitExceeded, err.Error())
	case errors.Is(err, store.ErrNotFound):
		return matrixerr.NotFound(err.Error())
	default:
		return err
	}
}

type uploadKeysRequest struct {
	DeviceKeys   json.RawMessage            `json:"device_keys"`
	OneTimeKeys  map[string]json.RawMessage `json:"one_time_keys"`
	FallbackKeys map[string]json.RawMessage `json:"fallback_keys"`
}

type uploadKeysResponse struct {
	OneTimeKeyCounts map[string]int `json:"one_time_key_counts"`
}

// uploadKeys stores identity, one-time and fallback keys of the caller's device.
//
// POST /_matrix/client/v3/keys/upload
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload
func (a *API) uploadKeys(ctx context.Context, caller httpapi.Caller, req *uploadKeysRequest) (*uploadKeysResponse, error) {
	upload := e2ee.Upload{DeviceKeys: req.DeviceKeys, OneTimeKeys: req.OneTimeKeys, FallbackKeys: req.FallbackKeys}
	if err := a.e2ee.Upload(ctx, caller.UserID, caller.DeviceID, upload); err != nil {
		return nil, e2eeError(err)
	}
	counts, _, err := a.e2ee.OneTimeKeyCounts(ctx, caller.UserID, caller.DeviceID)
	return &uploadKeysResponse{counts}, err
}

type queryKeysRequest struct {
	DeviceKeys map[event.UserID][]string `json:"device_keys" required:"true"`
}

type queryKeysResponse struct {
	DeviceKeys  map[string]map[string]json.RawMessage `json:"device_keys"`
	Failures    map[string]json.RawMessage            `json:"failures"`
	Master      map[string]json.RawMessage            `json:"master_keys"`
	SelfSigning map[string]json.RawMessage            `json:"self_signing_keys"`
	UserSigning map[string]json.RawMessage            `json:"user_signing_keys"`
}

// queryKeys returns identity and cross-signing keys of users.
//
// POST /_matrix/client/v3/keys/query
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
func (a *API) queryKeys(ctx context.Context, caller httpapi.Caller, req *queryKeysRequest) (*queryKeysResponse, error) {
	keys, err := a.e2ee.Query(ctx, caller.UserID, req.DeviceKeys)
	if err != nil {
		return nil, e2eeError(err)
	}
	return &queryKeysResponse{keys.Devices, map[string]json.RawMessage{}, keys.Master, keys.SelfSigning, keys.UserSigning}, nil
}

type claimKeysRequest struct {
	OneTimeKeys map[event.UserID]map[string]string `json:"one_time_keys" required:"true"`
}

type claimKeysResponse struct {
	OneTimeKeys map[string]map[string]map[string]json.RawMessage `json:"one_time_keys"`
	Failures    map[string]json.RawMessage                       `json:"failures"`
}

// claimKeys takes one-time keys of devices.
//
// POST /_matrix/client/v3/keys/claim
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
func (a *API) claimKeys(ctx context.Context, _ httpapi.Caller, req *claimKeysRequest) (*claimKeysResponse, error) {
	keys, err := a.e2ee.Claim(ctx, req.OneTimeKeys)
	if err != nil {
		return nil, e2eeError(err)
	}
	return &claimKeysResponse{keys, map[string]json.RawMessage{}}, nil
}

type keyChangesRequest struct {
	From string `query:"from" required:"true"`
	To   string `query:"to" required:"true"`
}

type keyChangesResponse struct {
	Changed []event.UserID `json:"changed"`
	Left    []event.UserID `json:"left"`
}

// keyChanges tells whose devices or keys changed between two sync tokens.
//
// GET /_matrix/client/v3/keys/changes
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges
func (a *API) keyChanges(ctx context.Context, caller httpapi.Caller, req *keyChangesRequest) (*keyChangesResponse, error) {
	from, err := stream.ParseToken(req.From)
	if err != nil {
		return nil, matrixerr.InvalidParam("from is no token of this server")
	}
	to, err := stream.ParseToken(req.To)
	if err != nil {
		return nil, matrixerr.InvalidParam("to is no token of this server")
	}
	changed, left, err := a.stream.DeviceLists(ctx, caller.UserID, from.Pos, to.Pos)
	if err != nil {
		return nil, err
	}
	// Empty lists are lists, not null.
	return &keyChangesResponse{append([]event.UserID{}, changed...), append([]event.UserID{}, left...)}, nil
}

type sendToDeviceRequest struct {
	EventType string                                      `path:"eventType"`
	TxnID     string                                      `path:"txnId"`
	Messages  map[event.UserID]map[string]json.RawMessage `json:"messages" required:"true"`
}

// sendToDevice queues messages for devices, once for a transaction id.
//
// PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid
func (a *API) sendToDevice(ctx context.Context, caller httpapi.Caller, req *sendToDeviceRequest) (*httpapi.Empty, error) {
	for user := range req.Messages {
		if caller.Suspended && user != caller.UserID {
			return nil, matrixerr.UserSuspended("a suspended user may only send to their own devices")
		}
	}
	err := a.e2ee.SendToDevice(ctx, e2ee.ToDevice{
		Sender: caller.UserID, SenderDevice: caller.DeviceID, Type: req.EventType, TxnID: req.TxnID, Messages: req.Messages,
	})
	return nil, e2eeError(err)
}
