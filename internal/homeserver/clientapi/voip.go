// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what TURN servers expect; as an HMAC it is not broken
	"encoding/base64"
	"fmt"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) voipRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/voip/turnServer", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.turnServer)},
	}
}

// turnServerResponse is {} where there is no TURN server.
type turnServerResponse struct {
	Username string   `json:"username,omitempty"`
	Password string   `json:"password,omitempty"`
	URIs     []string `json:"uris,omitempty"`
	// TTL is in seconds.
	TTL int64 `json:"ttl,omitempty"`
}

// turnServer returns credentials for the TURN servers, which check them by a
// secret that they share with us and need not ask.
//
// GET /_matrix/client/v3/voip/turnServer
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver
// https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00#section-2.2
func (a *API) turnServer(_ context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*turnServerResponse, error) {
	turn := a.config.Turn
	if len(turn.URIs) == 0 {
		return &turnServerResponse{}, nil
	}
	expires := a.now().Add(time.Duration(turn.LifetimeSeconds) * time.Second)
	username := fmt.Sprintf("%d:%s", expires.Unix(), caller.UserID)
	mac := hmac.New(sha1.New, a.turnSecret)
	_, _ = mac.Write([]byte(username)) // never fails: hash.Hash
	return &turnServerResponse{
		Username: username, Password: base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		URIs: turn.URIs, TTL: turn.LifetimeSeconds,
	}, nil
}
