// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// openIDRoute tells services whose user brought them an OpenID token. They
// are no Matrix servers and sign nothing.
func (s *Server) openIDRoute() httpapi.Route {
	return httpapi.Route{
		Method: "GET", Path: "/_matrix/federation/v1/openid/userinfo", Auth: httpapi.Public, Limit: httpapi.LimitMessage,
		Handler: httpapi.JSON(s.openIDUser),
	}
}

type openIDUserRequest struct {
	AccessToken string `query:"access_token"`
}

type openIDUserResponse struct {
	Sub event.UserID `json:"sub"`
}

// openIDUser says whose an OpenID token is.
//
// GET /_matrix/federation/v1/openid/userinfo
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1openiduserinfo
func (s *Server) openIDUser(ctx context.Context, _ httpapi.Caller, r *openIDUserRequest) (*openIDUserResponse, error) {
	if r.AccessToken == "" {
		return nil, matrixerr.MissingToken()
	}
	user, err := s.services.accounts.OpenIDUser(ctx, r.AccessToken)
	if err != nil {
		return nil, err
	}
	return &openIDUserResponse{user}, nil
}
