// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func (a *API) membershipRoutes() []httpapi.Route {
	const room = "/_matrix/client/v3/rooms/{roomId}/"
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/client/v3/join/{roomIdOrAlias}", Auth: httpapi.User, Limit: httpapi.LimitJoin, Handler: httpapi.JSON(a.joinByIDOrAlias)},
		{Method: "POST", Path: "/_matrix/client/v3/knock/{roomIdOrAlias}", Auth: httpapi.User, Limit: httpapi.LimitJoin, Handler: httpapi.JSON(a.knock)},
		{Method: "POST", Path: room + "join", Auth: httpapi.User, Limit: httpapi.LimitJoin, Handler: httpapi.JSON(a.joinRoom)},
		{Method: "POST", Path: room + "invite", Auth: httpapi.User, Limit: httpapi.LimitInvite, Handler: httpapi.JSON(a.invite)},
		{Method: "POST", Path: room + "leave", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.leave)},
		{Method: "POST", Path: room + "kick", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.kick)},
		{Method: "POST", Path: room + "ban", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.ban)},
		{Method: "POST", Path: room + "unban", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.unban)},
		{Method: "POST", Path: room + "forget", Auth: httpapi.User, Limit: httpapi.LimitMessage, Handler: httpapi.JSON(a.forget)},
	}
}

type joinByIDOrAliasRequest struct {
	RoomIDOrAlias string `path:"roomIdOrAlias"`
	Reason        string `json:"reason"`
}

type joinResponse struct {
	RoomID event.RoomID `json:"room_id"`
}

// joinByIDOrAlias joins the caller to a room, named by its id or an alias.
//
// POST /_matrix/client/v3/join/{roomIdOrAlias}
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias
// The parameter via is of no use while every room is on this server.
func (a *API) joinByIDOrAlias(ctx context.Context, caller httpapi.Caller, r *joinByIDOrAliasRequest) (*joinResponse, error) {
	room, err := a.resolveRoom(ctx, r.RoomIDOrAlias)
	if err != nil {
		return nil, err
	}
	return a.join(ctx, rooms.MemberRequest{RoomID: room, Sender: caller.UserID, Reason: r.Reason})
}

// knock asks for an invitation to a room, named by its id or an alias.
//
// POST /_matrix/client/v3/knock/{roomIdOrAlias}
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias
func (a *API) knock(ctx context.Context, caller httpapi.Caller, r *joinByIDOrAliasRequest) (*joinResponse, error) {
	room, err := a.resolveRoom(ctx, r.RoomIDOrAlias)
	if err != nil {
		return nil, err
	}
	err = a.rooms.Knock(ctx, rooms.MemberRequest{RoomID: room, Sender: caller.UserID, Reason: r.Reason})
	if err != nil {
		return nil, err
	}
	return &joinResponse{room}, nil
}

// resolveRoom returns the room that text names by its id or an alias.
func (a *API) resolveRoom(ctx context.Context, text string) (event.RoomID, error) {
	if !strings.HasPrefix(text, "#") {
		id, err := event.ParseRoomID(text)
		if err != nil {
			return "", matrixerr.InvalidParam("not a room id or alias")
		}
		return id, nil
	}
	alias, err := event.ParseRoomAlias(text)
	if err != nil {
		return "", matrixerr.InvalidParam("not a room id or alias")
	}
	room, err := a.rooms.AliasRoom(ctx, alias)
	if errors.Is(err, store.ErrNotFound) {
		return "", matrixerr.NotFound("room alias not found")
	}
	return room, err
}

type joinRoomRequest struct {
	RoomID event.RoomID `path:"roomId"`
	Reason string       `json:"reason"`
}

// joinRoom joins the caller to a room.
//
// POST /_matrix/client/v3/rooms/{roomId}/join
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin
func (a *API) joinRoom(ctx context.Context, caller httpapi.Caller, r *joinRoomRequest) (*joinResponse, error) {
	return a.join(ctx, rooms.MemberRequest{RoomID: r.RoomID, Sender: caller.UserID, Reason: r.Reason})
}

func (a *API) join(ctx context.Context, r rooms.MemberRequest) (*joinResponse, error) {
	if err := a.rooms.Join(ctx, r); err != nil {
		return nil, err
	}
	return &joinResponse{r.RoomID}, nil
}

type memberRequest struct {
	RoomID event.RoomID `path:"roomId"`
	UserID event.UserID `json:"user_id" required:"true"`
	Reason string       `json:"reason"`
}

func (r *memberRequest) by(caller httpapi.Caller) rooms.MemberRequest {
	return rooms.MemberRequest{RoomID: r.RoomID, Sender: caller.UserID, Target: r.UserID, Reason: r.Reason}
}

type inviteRequest struct {
	RoomID event.RoomID `path:"roomId"`
	UserID event.UserID `json:"user_id"`
	Reason string       `json:"reason"`
	// Medium is there where a third-party identifier is invited.
	Medium json.RawMessage `json:"medium"`
}

// invite invites a user to a room.
//
// POST /_matrix/client/v3/rooms/{roomId}/invite
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite
// Third-party invites are refused: there is no identity server.
func (a *API) invite(ctx context.Context, caller httpapi.Caller, r *inviteRequest) (*httpapi.Empty, error) {
	switch {
	case r.UserID == "" && r.Medium != nil:
		return nil, matrixerr.New(http.StatusForbidden, "M_THREEPID_DENIED", "this server invites no third-party identifiers")
	case r.UserID == "":
		return nil, matrixerr.MissingParam("user_id")
	}
	m := memberRequest{r.RoomID, r.UserID, r.Reason}
	return nil, a.rooms.Invite(ctx, m.by(caller))
}

// leave takes the caller out of a room, or declines an invitation to it.
//
// POST /_matrix/client/v3/rooms/{roomId}/leave
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidleave
func (a *API) leave(ctx context.Context, caller httpapi.Caller, r *joinRoomRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.Leave(ctx, rooms.MemberRequest{RoomID: r.RoomID, Sender: caller.UserID, Reason: r.Reason})
}

// kick takes another user out of a room.
//
// POST /_matrix/client/v3/rooms/{roomId}/kick
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidkick
func (a *API) kick(ctx context.Context, caller httpapi.Caller, r *memberRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.Kick(ctx, r.by(caller))
}

// ban keeps a user out of a room.
//
// POST /_matrix/client/v3/rooms/{roomId}/ban
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidban
func (a *API) ban(ctx context.Context, caller httpapi.Caller, r *memberRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.Ban(ctx, r.by(caller))
}

// unban ends a ban.
//
// POST /_matrix/client/v3/rooms/{roomId}/unban
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidunban
func (a *API) unban(ctx context.Context, caller httpapi.Caller, r *memberRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.Unban(ctx, r.by(caller))
}

type forgetRequest struct {
	RoomID event.RoomID `path:"roomId"`
}

// forget hides a room that the caller has left.
//
// POST /_matrix/client/v3/rooms/{roomId}/forget
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget
func (a *API) forget(ctx context.Context, caller httpapi.Caller, r *forgetRequest) (*httpapi.Empty, error) {
	return nil, a.rooms.Forget(ctx, caller.UserID, r.RoomID)
}
