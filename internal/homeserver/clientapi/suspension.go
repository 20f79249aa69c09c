// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"net/http"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

// ownBusiness are the beginnings of what a suspended user may still change:
// sessions, keys, settings, and what tidies up. Whatever is not here and not
// GET is refused, so that a new endpoint is not forgotten.
// https://spec.matrix.org/v1.19/client-server-api/#account-suspension
var ownBusiness = []string{
	"/_matrix/client/v1/login/",
	"/_matrix/client/v3/logout",
	"/_matrix/client/v3/account/",
	"/_matrix/client/v3/devices/",
	"/_matrix/client/v3/delete_devices",
	"/_matrix/client/v3/keys/",
	"/_matrix/client/v3/room_keys/",
	"/_matrix/client/v3/sendToDevice/", // to their own devices only: see sendToDevice
	"/_matrix/client/v3/user/",         // account data, tags and filters
	"/_matrix/client/v3/pushrules/",
	"/_matrix/client/v3/pushers/",
	"/_matrix/client/v3/publicRooms",
	"/_matrix/client/v3/user_directory/",
	"/_matrix/client/v3/search",
	"/_matrix/client/v3/users/", // reports
	"/_matrix/client/v3/rooms/{roomId}/report",
	"/_matrix/client/v3/rooms/{roomId}/leave",
	"/_matrix/client/v3/rooms/{roomId}/forget",
	"/_matrix/client/v3/rooms/{roomId}/read_markers",
	"/_matrix/client/v3/rooms/{roomId}/receipt/",
	"/_matrix/client/v3/rooms/{roomId}/redact/", // their own events only: see redact
}

// refuseSuspended marks the routes that suspended users may not call.
func refuseSuspended(routes []httpapi.Route) []httpapi.Route {
	for i := range routes {
		r := &routes[i]
		r.NotSuspended = r.Method != http.MethodGet && r.Auth != httpapi.Public
		for _, path := range ownBusiness {
			if strings.HasPrefix(r.Path, path) {
				r.NotSuspended = false
			}
		}
	}
	return routes
}
