// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/adminapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/clientapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/media"
	"github.com/foyer-matrix/foyer/internal/homeserver/outbound"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

// services are the domain packages of one replica.
type services struct {
	accounts *accounts.Service
	api      *clientapi.API
	admin    *adminapi.API
	// background runs until its context ends.
	background []func(context.Context) error
	// drain makes long polls answer with what they have.
	drain func()
}

// assemble makes the services. They register with the change log, so this
// comes before the store runs.
func (s *Server) assemble(registration secrets) (*services, error) {
	secret, err := derivedSecret(s.signer, "interactive authentication")
	if err != nil {
		return nil, err
	}
	turn, err := turnSecret(s.config.Turn)
	if err != nil {
		return nil, err
	}
	server := event.ServerName(s.config.ServerName)
	a := accounts.New(accounts.Options{
		Store: s.store, Changes: s.store.Log(), ServerName: server,
		Registration: s.config.Registration.Mode, RegistrationTokens: registration.tokens, SharedSecret: registration.shared,
		Limiter: s.limiter, Secret: secret, Log: s.log, Now: s.options.Now,
	})
	r := rooms.New(rooms.Options{
		Store: s.store, Signer: s.signer, Profiles: a,
		DefaultVersion: event.RoomVersion(s.config.Rooms.DefaultVersion), Log: s.log, Now: s.options.Now,
	})
	keys := e2ee.New(s.store, s.store.Log(), server, s.options.Now)
	out, err := outboundClient(s.config.Outbound)
	if err != nil {
		return nil, err
	}
	p := push.New(push.Options{Store: s.store, Rooms: r, Outbound: out, Log: s.log, Now: s.options.Now})
	str := stream.New(stream.Options{
		Store: s.store, Rooms: r, Keys: keys, Push: p, Presence: s.config.Presence.Enabled, Now: s.options.Now,
	})
	m, err := media.New(media.Options{
		Store: s.store, Changes: s.store.Log(), Dir: s.config.Media.Dir, ServerName: server,
		MaxUserBytes: s.config.Media.MaxUserBytes, Log: s.log, Now: s.options.Now,
	})
	if err != nil {
		return nil, err
	}
	return &services{
		accounts: a,
		api: clientapi.New(clientapi.Options{
			Config: &s.config, Accounts: a, Media: m, E2EE: keys, Rooms: r, Push: p, Stream: str,
			TurnSecret: turn, Now: s.options.Now,
		}),
		background: []func(context.Context) error{
			a.Run, str.Run, p.Run, m.Run,
			func(ctx context.Context) error { return a.RunDeactivations(ctx, r.LeaveAll) }, keys.Run, a.IndexUsers, r.RunProfileUpdates,
		},
		admin: adminapi.New(a),
		drain: func() { str.Drain(); m.Drain() },
	}, nil
}

// clientRoutes are what the client listener serves.
func (s *Server) clientRoutes() []httpapi.Route {
	return slices.Concat(s.services.api.Routes(), s.services.admin.Routes())
}

// outboundClient makes the one client for addresses that others chose.
func outboundClient(c config.Outbound) (*outbound.Client, error) {
	networks, err := c.Networks()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	o := outbound.Options{AllowedNetworks: networks}
	if c.CAFile == "" {
		return outbound.New(o), nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("%w: outbound.caFile: %w", ErrConfig, err)
	}
	if o.RootCAs, err = x509.SystemCertPool(); err != nil {
		o.RootCAs = x509.NewCertPool() // a system without any
	}
	if !o.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: outbound.caFile: holds no certificate", ErrConfig)
	}
	return outbound.New(o), nil
}
