// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

func (a *API) capabilityRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/capabilities", Auth: httpapi.User, Handler: httpapi.JSON(a.capabilities)},
	}
}

type enabled struct {
	Enabled bool `json:"enabled"`
}

type capabilitiesResponse struct {
	Capabilities struct {
		ChangePassword enabled `json:"m.change_password"`
		RoomVersions   struct {
			Default   string            `json:"default"`
			Available map[string]string `json:"available"`
		} `json:"m.room_versions"`
		SetDisplayName enabled `json:"m.set_displayname"`
		SetAvatarURL   enabled `json:"m.set_avatar_url"`
		ThreePID       enabled `json:"m.3pid_changes"`
		GetLoginToken  enabled `json:"m.get_login_token"`
		ProfileFields  enabled `json:"m.profile_fields"`
		// Moderation is there for administrators only.
		Moderation *moderationCapability `json:"m.account_moderation,omitempty"`
	} `json:"capabilities"`
}

type moderationCapability struct {
	Suspend bool `json:"suspend"`
	Lock    bool `json:"lock"`
}

// capabilities says what clients may offer their users.
//
// GET /_matrix/client/v3/capabilities
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities
func (a *API) capabilities(_ context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*capabilitiesResponse, error) {
	res := &capabilitiesResponse{}
	c := &res.Capabilities
	c.RoomVersions.Default = a.config.Rooms.DefaultVersion
	c.RoomVersions.Available = map[string]string{}
	for _, v := range event.SupportedVersions() {
		c.RoomVersions.Available[string(v)] = "stable"
	}
	c.ChangePassword.Enabled = true
	c.GetLoginToken.Enabled = true
	if caller.Admin {
		c.Moderation = &moderationCapability{Suspend: true, Lock: true}
	}
	c.SetDisplayName.Enabled = true
	c.SetAvatarURL.Enabled = true
	c.ProfileFields.Enabled = true
	return res, nil
}
