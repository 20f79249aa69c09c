// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) crossSigningRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/keys/device_signing/upload", Auth: httpapi.User, Handler: httpapi.JSON(a.uploadCrossSigning)},
		{Method: "POST", Path: "/_matrix/client/v3/keys/signatures/upload", Auth: httpapi.User, MaxBody: maxKeysBody, Handler: httpapi.JSON(a.uploadSignatures)},
	}
}

type uploadCrossSigningRequest struct {
	Auth        json.RawMessage `json:"auth"`
	Master      json.RawMessage `json:"master_key"`
	SelfSigning json.RawMessage `json:"self_signing_key"`
	UserSigning json.RawMessage `json:"user_signing_key"`
}

// operation names what the user is asked to confirm: these very keys.
func (r *uploadCrossSigningRequest) operation() string {
	h := sha256.New()
	for _, key := range []json.RawMessage{r.Master, r.SelfSigning, r.UserSigning} {
		sum := sha256.Sum256(key)
		h.Write(sum[:])
	}
	return "keys/device_signing/upload " + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// uploadCrossSigning stores the caller's cross-signing keys. To replace keys
// takes interactive authentication; the first upload does not.
//
// POST /_matrix/client/v3/keys/device_signing/upload
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
func (a *API) uploadCrossSigning(ctx context.Context, caller httpapi.Caller, req *uploadCrossSigningRequest) (*httpapi.Empty, error) {
	keys := e2ee.CrossSigning{Master: req.Master, SelfSigning: req.SelfSigning, UserSigning: req.UserSigning}
	confirm := func() error { return a.accounts.Confirm(ctx, caller.UserID, req.operation(), req.Auth) }
	return nil, e2eeError(a.e2ee.UploadCrossSigning(ctx, caller.UserID, keys, confirm))
}

type uploadSignaturesRequest struct {
	Objects json.RawMessage `body:"raw"`
}

type uploadSignaturesResponse struct {
	Failures map[event.UserID]map[string]*matrixerr.Error `json:"failures"`
}

// uploadSignatures stores signatures that the caller made on keys. Each one
// that does not verify is a failure of its own.
//
// POST /_matrix/client/v3/keys/signatures/upload
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
func (a *API) uploadSignatures(ctx context.Context, caller httpapi.Caller, req *uploadSignaturesRequest) (*uploadSignaturesResponse, error) {
	var objects map[event.UserID]map[string]json.RawMessage
	if err := httpapi.DecodeJSON(req.Objects, &objects); err != nil {
		return nil, err
	}
	failures, err := a.e2ee.UploadSignatures(ctx, caller.UserID, objects)
	if err != nil {
		return nil, err
	}
	answer := &uploadSignaturesResponse{map[event.UserID]map[string]*matrixerr.Error{}}
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
