// SPDX-License-Identifier: Apache-2.0

// Package clientapi is the client-server API, one file a chapter: the routes
// at its top, then for each endpoint a request type, a response type and a
// method. Endpoints hold no rules of rooms and no SQL; they translate.
//
// https://spec.matrix.org/v1.19/client-server-api/
package clientapi

import (
	"slices"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/media"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/stream"
)

// Options are the services behind the API.
type Options struct {
	Config   *config.Config
	Accounts *accounts.Service
	Media    *media.Service
	E2EE     *e2ee.Service
	Rooms    *rooms.Service
	Push     *push.Service
	Stream   *stream.Service
	// TurnSecret is shared with the TURN servers of Config, if there are any.
	TurnSecret []byte
	// Now is the clock.
	Now func() time.Time
}

// API is the client-server API of one replica.
type API struct {
	config   *config.Config
	accounts *accounts.Service
	media    *media.Service
	e2ee     *e2ee.Service
	rooms    *rooms.Service
	push     *push.Service
	stream   *stream.Service

	turnSecret []byte
	now        func() time.Time
}

// New returns the API over the given services.
func New(o Options) *API {
	return &API{
		config: o.Config, accounts: o.Accounts, media: o.Media, e2ee: o.E2EE, rooms: o.Rooms, push: o.Push, stream: o.Stream,
		turnSecret: o.TurnSecret, now: o.Now,
	}
}

// Routes returns every endpoint.
func (a *API) Routes() []httpapi.Route {
	return refuseSuspended(slices.Concat(
		a.versionRoutes(),
		a.wellKnownRoutes(),
		a.capabilityRoutes(),
		a.loginRoutes(),
		a.registerRoutes(),
		a.logoutRoutes(),
		a.whoamiRoutes(),
		a.deviceRoutes(),
		a.accountRoutes(),
		a.adminAccountRoutes(),
		a.profileRoutes(),
		a.mediaRoutes(),
		a.voipRoutes(),
		a.openIDRoutes(),
		a.keyRoutes(),
		a.crossSigningRoutes(),
		a.keyBackupRoutes(),
		a.createRoomRoutes(),
		a.upgradeRoutes(),
		a.mutualRoomRoutes(),
		a.membershipRoutes(),
		a.sendRoutes(),
		a.stateRoutes(),
		a.eventRoutes(),
		a.messageRoutes(),
		a.memberRoutes(),
		a.contextRoutes(),
		a.relationRoutes(),
		a.threadRoutes(),
		a.reportRoutes(),
		a.directoryRoutes(),
		a.publicRoomRoutes(),
		a.userDirectoryRoutes(),
		a.hierarchyRoutes(),
		a.summaryRoutes(),
		a.syncRoutes(),
		a.filterRoutes(),
		a.typingRoutes(),
		a.presenceRoutes(),
		a.receiptRoutes(),
		a.readMarkerRoutes(),
		a.accountDataRoutes(),
		a.tagRoutes(),
		a.pushRuleRoutes(),
		a.notificationRoutes(),
		a.pusherRoutes(),
	))
}
