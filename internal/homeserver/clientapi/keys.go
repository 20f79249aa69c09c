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
)

// maxKeysBody is the largest body of the requests that carry many keys.
const maxKeysBody = 5 << 20

func (a *API) keyRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/keys/upload", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.uploadKeys)},
		{Method: "POST", Path: "/_matrix/client/v3/keys/query", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.queryKeys)},
		{Method: "POST", Path: "/_matrix/client/v3/keys/claim", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.claimKeys)},
		{Method: "POST", Path: "/_matrix/client/v3/keys/signatures/upload", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.uploadSignatures)},
		{Method: "PUT", Path: "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.sendToDevice)},
	}
}

// e2eeError translates the refusals of package e2ee.
func e2eeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, e2ee.ErrTooLarge):
		return matrixerr.TooLarge(err.Error())
	case errors.Is(err, e2ee.ErrKeyTaken):
		return matrixerr.New(http.StatusBadRequest, matrixerr.CodeInvalidParam, err.Error())
	case errors.Is(err, e2ee.ErrSignature):
		return matrixerr.New(http.StatusBadRequest, matrixerr.CodeInvalidSignature, err.Error())
	case errors.Is(err, e2ee.ErrNoMasterKey):
		return matrixerr.New(http.StatusBadRequest, matrixerr.CodeMissingParam, err.Error())
	case errors.Is(err, e2ee.ErrInvalid):
		return matrixerr.BadJSON(err.Error())
	case errors.Is(err, store.ErrNotFound):
		return matrixerr.NotFound(err.Error())
	default:
		return err
	}
}

// userID parses a key of a map by user.
func userID(s string) (event.UserID, error) {
	user, err := event.ParseUserID(s)
	if err != nil {
		return "", matrixerr.New(http.StatusBadRequest, matrixerr.CodeInvalidParam, err.Error())
	}
	return user, nil
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
	DeviceKeys map[string][]string `json:"device_keys" required:"true"`
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
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
func (a *API) queryKeys(ctx context.Context, caller httpapi.Caller, req *queryKeysRequest) (*queryKeysResponse, error) {
	wanted := make(map[event.UserID][]string, len(req.DeviceKeys))
	for name, devices := range req.DeviceKeys {
		user, err := userID(name)
		if err != nil {
			return nil, err
		}
		wanted[user] = devices
	}
	keys, err := a.e2ee.Query(ctx, caller.UserID, wanted)
	if err != nil {
		return nil, e2eeError(err)
	}
	return &queryKeysResponse{keys.Devices, map[string]json.RawMessage{}, keys.Master, keys.SelfSigning, keys.UserSigning}, nil
}

type claimKeysRequest struct {
	OneTimeKeys map[string]map[string]string `json:"one_time_keys" required:"true"`
}

type claimKeysResponse struct {
	OneTimeKeys map[string]map[string]map[string]json.RawMessage `json:"one_time_keys"`
	Failures    map[string]json.RawMessage                       `json:"failures"`
}

// claimKeys takes one-time keys of devices.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
func (a *API) claimKeys(ctx context.Context, _ httpapi.Caller, req *claimKeysRequest) (*claimKeysResponse, error) {
	wanted := make(map[event.UserID]map[string]string, len(req.OneTimeKeys))
	for name, devices := range req.OneTimeKeys {
		user, err := userID(name)
		if err != nil {
			return nil, err
		}
		wanted[user] = devices
	}
	keys, err := a.e2ee.Claim(ctx, wanted)
	if err != nil {
		return nil, e2eeError(err)
	}
	return &claimKeysResponse{keys, map[string]json.RawMessage{}}, nil
}

type uploadSignaturesRequest struct {
	Objects json.RawMessage `body:"raw"`
}

type uploadSignaturesResponse struct {
	Failures map[string]map[string]*matrixerr.Error `json:"failures"`
}

// uploadSignatures stores signatures that the caller made on keys. Each one
// that does not verify is a failure of its own.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
func (a *API) uploadSignatures(ctx context.Context, caller httpapi.Caller, req *uploadSignaturesRequest) (*uploadSignaturesResponse, error) {
	var byName map[string]map[string]json.RawMessage
	if err := json.Unmarshal(req.Objects, &byName); err != nil {
		return nil, matrixerr.BadJSON("body must map user ids to key ids to signed objects")
	}
	objects := make(map[event.UserID]map[string]json.RawMessage, len(byName))
	for name, byKey := range byName {
		user, err := userID(name)
		if err != nil {
			return nil, err
		}
		objects[user] = byKey
	}
	failures, err := a.e2ee.UploadSignatures(ctx, caller.UserID, objects)
	if err != nil {
		return nil, err
	}
	answer := &uploadSignaturesResponse{map[string]map[string]*matrixerr.Error{}}
	for user, byKey := range failures {
		answer.Failures[user] = map[string]*matrixerr.Error{}
		for keyID, failure := range byKey {
			var refusal *matrixerr.Error
			if !errors.As(e2eeError(failure), &refusal) {
				return nil, failure
			}
			answer.Failures[user][keyID] = refusal
		}
	}
	return answer, nil
}

type sendToDeviceRequest struct {
	EventType string                                `path:"eventType"`
	TxnID     string                                `path:"txnId"`
	Messages  map[string]map[string]json.RawMessage `json:"messages" required:"true"`
}

// sendToDevice queues messages for devices, once for a transaction id.
//
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid
func (a *API) sendToDevice(ctx context.Context, caller httpapi.Caller, req *sendToDeviceRequest) (*httpapi.Empty, error) {
	messages := make(map[event.UserID]map[string]json.RawMessage, len(req.Messages))
	for name, byDevice := range req.Messages {
		user, err := userID(name)
		if err != nil {
			return nil, err
		}
		messages[user] = byDevice
	}
	err := a.e2ee.SendToDevice(ctx, e2ee.ToDevice{
		Sender: caller.UserID, SenderDevice: caller.DeviceID, Type: req.EventType, TxnID: req.TxnID, Messages: messages,
	})
	return nil, e2eeError(err)
}
