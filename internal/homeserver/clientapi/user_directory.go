// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) userDirectoryRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/user_directory/search", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.searchUsers)},
	}
}

const (
	// defaultUsers is how many users a search returns where it does not say.
	defaultUsers = 10
	// maxUsers is the most that it returns.
	maxUsers = 50
)

type searchUsersRequest struct {
	Term  string `json:"search_term" required:"true"`
	Limit *int   `json:"limit"`
}

type directoryUser struct {
	UserID      string `json:"user_id"`
	DisplayName string `json:"display_name,omitempty"`
	AvatarURL   string `json:"avatar_url,omitempty"`
}

type searchUsersResponse struct {
	Results []directoryUser `json:"results"`
	Limited bool            `json:"limited"`
}

// searchUsers finds users by the beginnings of the words of their names and ids.
//
// POST /_matrix/client/v3/user_directory/search
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3user_directorysearch
func (a *API) searchUsers(ctx context.Context, caller httpapi.Caller, r *searchUsersRequest) (*searchUsersResponse, error) {
	limit := defaultUsers
	if r.Limit != nil {
		if limit = min(*r.Limit, maxUsers); limit < 0 {
			return nil, matrixerr.InvalidParam("limit must not be negative")
		}
	}
	found, limited, err := a.accounts.SearchUsers(ctx, caller.UserID, r.Term, limit)
	if err != nil {
		return nil, err
	}
	answer := &searchUsersResponse{Results: make([]directoryUser, len(found)), Limited: limited}
	for i, u := range found {
		answer.Results[i] = directoryUser(u)
	}
	return answer, nil
}
