// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) openIDRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/user/{userId}/openid/request_token", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.requestOpenIDToken)},
	}
}

type openIDTokenRequest struct {
	UserID event.UserID `path:"userId"`
}

type openIDTokenResponse struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	MatrixServerName string `json:"matrix_server_name"`
	// ExpiresIn is in seconds.
	ExpiresIn int64 `json:"expires_in"`
}

// requestOpenIDToken returns a token by which another service learns who the
// caller is.
//
// POST /_matrix/client/v3/user/{userId}/openid/request_token
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridopenidrequest_token
func (a *API) requestOpenIDToken(ctx context.Context, caller httpapi.Caller, r *openIDTokenRequest) (*openIDTokenResponse, error) {
	if r.UserID != caller.UserID {
		return nil, matrixerr.Forbidden("you cannot prove to be another user")
	}
	token, err := a.accounts.NewOpenIDToken(ctx, caller)
	if err != nil {
		return nil, err
	}
	return &openIDTokenResponse{
		AccessToken: token, TokenType: "Bearer", MatrixServerName: a.config.ServerName,
		ExpiresIn: int64(accounts.OpenIDTokenLife.Seconds()),
	}, nil
}
