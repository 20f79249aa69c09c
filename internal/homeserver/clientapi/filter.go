// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// maxFilterBody is far more than any client's filter.
const maxFilterBody = 64 << 10

func (a *API) filterRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/user/{userId}/filter", Auth: httpapi.User, Limit: httpapi.LimitMessage, MaxBody: maxFilterBody, Handler: httpapi.JSON(a.defineFilter)},
		{Method: "GET", Path: "/_matrix/client/v3/user/{userId}/filter/{filterId}", Auth: httpapi.User, Handler: httpapi.JSON(a.filter)},
	}
}

type defineFilterRequest struct {
	UserID event.UserID    `path:"userId"`
	Filter json.RawMessage `body:"raw"`
}

type defineFilterResponse struct {
	FilterID string `json:"filter_id"`
}

// defineFilter stores a filter of the caller's.
//
// POST /_matrix/client/v3/user/{userId}/filter
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
func (a *API) defineFilter(ctx context.Context, caller httpapi.Caller, r *defineFilterRequest) (*defineFilterResponse, error) {
	if r.UserID != caller.UserID {
		return nil, matrixerr.Forbidden("this is another user's filter")
	}
	id, err := a.stream.PutFilter(ctx, caller.UserID, r.Filter)
	return &defineFilterResponse{FilterID: id}, err
}

type filterRequest struct {
	UserID   event.UserID `path:"userId"`
	FilterID string       `path:"filterId"`
}

// filter returns a filter of the caller's.
//
// GET /_matrix/client/v3/user/{userId}/filter/{filterId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridfilterfilterid
func (a *API) filter(ctx context.Context, caller httpapi.Caller, r *filterRequest) (*json.RawMessage, error) {
	if r.UserID != caller.UserID {
		return nil, matrixerr.Forbidden("this is another user's filter")
	}
	raw, err := a.stream.Filter(ctx, caller.UserID, r.FilterID)
	return &raw, err
}
