// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) versionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/versions", Auth: httpapi.Public, Handler: httpapi.JSON(a.versions)},
	}
}

type versionsResponse struct {
	Versions         []string        `json:"versions"`
	UnstableFeatures map[string]bool `json:"unstable_features"`
}

// specVersions are the versions of the specification whose endpoints clients
// may count on. Clients switch features on by this list, so a version is
// added when what it brought works here, and not before.
var specVersions = []string{
	"v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
}

// versions says which versions of the specification are supported.
//
// GET /_matrix/client/versions
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions
func (a *API) versions(context.Context, httpapi.Caller, *httpapi.Empty) (*versionsResponse, error) {
	return &versionsResponse{Versions: specVersions, UnstableFeatures: map[string]bool{
		"org.matrix.msc4222": true, // state_after in /sync, under its name before v1.16
		// GET /mutual_rooms, which clients look for before v1.19 is among the versions.
		"uk.half-shot.msc2666.query_mutual_rooms.stable": true,
	}}, nil
}
