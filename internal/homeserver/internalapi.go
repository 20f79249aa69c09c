// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/foyer-matrix/foyer/internal/homeserver/clientapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// internalRoutes are for those who run the server, not for its users.
func (s *Server) internalRoutes() []httpapi.Route {
	metrics := promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{DisableCompression: true})
	routes := []httpapi.Route{
		{Method: "GET", Path: "/healthz", Auth: httpapi.Public, Quiet: true, Handler: httpapi.JSON(s.healthy)},
		{Method: "GET", Path: "/readyz", Auth: httpapi.Public, Quiet: true, Handler: httpapi.JSON(s.ready)},
		{Method: "GET", Path: "/metrics", Auth: httpapi.Public, Quiet: true, Handler: func(w http.ResponseWriter, r *httpapi.Request) error {
			metrics.ServeHTTP(w, r.Request)
			return nil
		}},
	}
	if s.config.Registration.SharedSecretFile != "" {
		routes = append(routes, s.services.admin.SharedSecretRoutes()...)
	}
	return routes
}

// healthy says that the process answers. A database that is away does not
// make it unhealthy: a restart would not help.
func (s *Server) healthy(context.Context, httpapi.Caller, *httpapi.Empty) (*httpapi.Empty, error) {
	return nil, nil
}

// readyTime is how long the database may take to answer.
const readyTime = 2 * time.Second

// ready says that requests can be served.
func (s *Server) ready(ctx context.Context, _ httpapi.Caller, _ *httpapi.Empty) (*httpapi.Empty, error) {
	if s.shuttingDown.Load() {
		return nil, matrixerr.Unavailable("the server is shutting down")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	return nil, s.store.Ping(ctx)
}

// federationRoutes are what other servers may ask so far: who we are, which
// key we sign with and whose an OpenID token is.
func (s *Server) federationRoutes() []httpapi.Route {
	routes := clientapi.WellKnownRoutes(&s.config)
	return append(routes, httpapi.Route{
		Method: "GET", Path: "/_matrix/key/v2/server", Auth: httpapi.Public, Handler: httpapi.JSON(s.serverKeys),
	}, s.openIDRoute())
}

// keyValidity is how long other servers may keep our key.
const keyValidity = 24 * time.Hour

// serverKeys publishes the signing key, signed by itself.
//
// GET /_matrix/key/v2/server
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
func (s *Server) serverKeys(context.Context, httpapi.Caller, *httpapi.Empty) (*json.RawMessage, error) {
	public, _ := s.signer.PrivateKey.Public().(ed25519.PublicKey)
	body, err := json.Marshal(map[string]any{
		"server_name":     s.config.ServerName,
		"valid_until_ts":  s.options.Now().Add(keyValidity).UnixMilli(),
		"old_verify_keys": map[string]any{},
		"verify_keys": map[string]any{
			s.signer.KeyID: map[string]string{"key": base64.RawStdEncoding.EncodeToString(public)},
		},
	})
	if err != nil {
		return nil, err
	}
	signed, err := event.SignJSON(body, s.signer)
	res := json.RawMessage(signed)
	return &res, err
}
