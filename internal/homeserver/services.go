// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/adminapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/clientapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/media"
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
	server := event.ServerName(s.config.ServerName)
	a := accounts.New(accounts.Options{
		Store: s.store, Changes: s.store.Log(), ServerName: server,
		Registration: s.config.Registration.Mode, RegistrationTokens: registration.tokens, SharedSecret: registration.shared,
		Limiter: s.limiter, Secret: secret, Log: s.log, Now: s.options.Now,
	})
	r := rooms.New(rooms.Options{
		Store: s.store, Signer: s.signer, Profiles: a,
		DefaultVersion: event.RoomVersion(s.config.Rooms.DefaultVersion), Now: s.options.Now,
	})
	keys := e2ee.New(s.store, s.store.Log(), server, s.options.Now)
	p := push.New(push.Options{Store: s.store, Rooms: r})
	str := stream.New(stream.Options{Store: s.store, Rooms: r, Keys: keys, Push: p, Now: s.options.Now})
	m, err := media.New(media.Options{
		Store: s.store, Dir: s.config.Media.Dir, ServerName: server,
		MaxUploadBytes: s.config.Media.MaxUploadBytes, Now: s.options.Now,
	})
	if err != nil {
		return nil, err
	}
	return &services{
		accounts: a,
		api: clientapi.New(clientapi.Options{
			Config: &s.config, Accounts: a, Media: m, E2EE: keys, Rooms: r, Push: p, Stream: str,
		}),
		background: []func(context.Context) error{
			a.Run, str.Run,
			func(ctx context.Context) error { return a.RunDeactivations(ctx, r.LeaveAll) }, keys.Run,
		},
		admin: adminapi.New(a),
		drain: str.Drain,
	}, nil
}

// clientRoutes are what the client listener serves.
func (s *Server) clientRoutes() []httpapi.Route {
	return slices.Concat(s.services.api.Routes(), s.services.admin.Routes())
}
