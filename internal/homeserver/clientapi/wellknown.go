// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"net"
	"net/url"

	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) wellKnownRoutes() []httpapi.Route {
	return WellKnownRoutes(a.config)
}

// WellKnownRoutes are the delegation documents, none unless they are enabled.
// The federation listener serves them too.
func WellKnownRoutes(c *config.Config) []httpapi.Route {
	if !c.WellKnown.Enabled {
		return nil
	}
	return []httpapi.Route{
		{Method: "GET", Path: "/.well-known/matrix/client", Auth: httpapi.Public, Handler: httpapi.JSON(wellKnownClient(c))},
		{Method: "GET", Path: "/.well-known/matrix/server", Auth: httpapi.Public, Handler: httpapi.JSON(wellKnownServer(c))},
	}
}

type wellKnownClientResponse struct {
	Homeserver struct {
		BaseURL string `json:"base_url"`
	} `json:"m.homeserver"`
}

// wellKnownClient tells clients where the server is.
//
// GET /.well-known/matrix/client
// https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixclient
func wellKnownClient(c *config.Config) func(context.Context, httpapi.Caller, *httpapi.Empty) (*wellKnownClientResponse, error) {
	res := &wellKnownClientResponse{}
	res.Homeserver.BaseURL = c.PublicBaseURL
	return func(context.Context, httpapi.Caller, *httpapi.Empty) (*wellKnownClientResponse, error) {
		return res, nil
	}
}

type wellKnownServerResponse struct {
	Server string `json:"m.server"`
}

// wellKnownServer tells other servers where this one is.
//
// GET /.well-known/matrix/server
// https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
func wellKnownServer(c *config.Config) func(context.Context, httpapi.Caller, *httpapi.Empty) (*wellKnownServerResponse, error) {
	res := &wellKnownServerResponse{Server: c.WellKnown.Server}
	if u, err := url.Parse(c.PublicBaseURL); res.Server == "" && err == nil {
		port := u.Port()
		if port == "" {
			port = "443"
		}
		res.Server = net.JoinHostPort(u.Hostname(), port)
	}
	return func(context.Context, httpapi.Caller, *httpapi.Empty) (*wellKnownServerResponse, error) {
		return res, nil
	}
}
