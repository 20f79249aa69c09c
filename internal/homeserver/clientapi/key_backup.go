// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"

	"github.com/foyer-matrix/foyer/internal/homeserver/e2ee"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// maxBackupBody is the largest upload of room keys at once; clients send about 200 KiB.
const maxBackupBody = 10 << 20

func (a *API) keyBackupRoutes() []httpapi.Route {
	const (
		versions = "/_matrix/client/v3/room_keys/version"
		version  = versions + "/{version}"
		keys     = "/_matrix/client/v3/room_keys/keys"
		room     = keys + "/{roomId}"
		session  = room + "/{sessionId}"
	)
	return []httpapi.Route{
		{Method: "POST", Path: versions, Auth: httpapi.User, Handler: httpapi.JSON(a.createBackup)},
		{Method: "GET", Path: versions, Auth: httpapi.User, Handler: httpapi.JSON(a.currentBackup)},
		{Method: "GET", Path: version, Auth: httpapi.User, Handler: httpapi.JSON(a.backup)},
		{Method: "PUT", Path: version, Auth: httpapi.User, Handler: httpapi.JSON(a.changeBackup)},
		{Method: "DELETE", Path: version, Auth: httpapi.User, Handler: httpapi.JSON(a.deleteBackup)},
		{Method: "PUT", Path: keys, Auth: httpapi.User, MaxBody: maxBackupBody, Handler: httpapi.JSON(a.putRoomKeys)},
		{Method: "PUT", Path: room, Auth: httpapi.User, MaxBody: maxBackupBody, Handler: httpapi.JSON(a.putKeysOfRoom)},
		{Method: "PUT", Path: session, Auth: httpapi.User, Handler: httpapi.JSON(a.putKeyOfSession)},
		{Method: "GET", Path: keys, Auth: httpapi.User, Timeout: -1, Handler: a.roomKeys},
		{Method: "GET", Path: room, Auth: httpapi.User, Timeout: -1, Handler: a.keysOfRoom},
		{Method: "GET", Path: session, Auth: httpapi.User, Handler: httpapi.JSON(a.keyOfSession)},
		{Method: "DELETE", Path: keys, Auth: httpapi.User, Handler: httpapi.JSON(a.deleteAllKeys)},
		{Method: "DELETE", Path: room, Auth: httpapi.User, Handler: httpapi.JSON(a.deleteRoomKeys)},
		{Method: "DELETE", Path: session, Auth: httpapi.User, Handler: httpapi.JSON(a.deleteRoomKeys)},
	}
}

type createBackupRequest struct {
	Algorithm string          `json:"algorithm" required:"true"`
	AuthData  json.RawMessage `json:"auth_data" required:"true"`
}

type createBackupResponse struct {
	Version string `json:"version"`
}

// createBackup makes a new version, to which keys are backed up from now on.
//
// POST /_matrix/client/v3/room_keys/version
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3room_keysversion
func (a *API) createBackup(ctx context.Context, caller httpapi.Caller, req *createBackupRequest) (*createBackupResponse, error) {
	version, err := a.e2ee.CreateBackup(ctx, caller.UserID, req.Algorithm, req.AuthData)
	return &createBackupResponse{version}, e2eeError(err)
}

type backupResponse struct {
	Algorithm string          `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	Count     int64           `json:"count"`
	ETag      string          `json:"etag"`
	Version   string          `json:"version"`
}

func newBackupResponse(b *e2ee.Backup, err error) (*backupResponse, error) {
	if err != nil {
		return nil, e2eeError(err)
	}
	return &backupResponse{b.Algorithm, b.AuthData, b.Count, b.ETag, b.Version}, nil
}

// currentBackup describes the current version.
//
// GET /_matrix/client/v3/room_keys/version
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversion
func (a *API) currentBackup(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*backupResponse, error) {
	return newBackupResponse(a.e2ee.CurrentBackup(ctx, caller.UserID))
}

type backupRequest struct {
	Version string `path:"version"`
}

// backup describes a version.
//
// GET /_matrix/client/v3/room_keys/version/{version}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversionversion
func (a *API) backup(ctx context.Context, caller httpapi.Caller, req *backupRequest) (*backupResponse, error) {
	return newBackupResponse(a.e2ee.Backup(ctx, caller.UserID, req.Version))
}

type changeBackupRequest struct {
	Path      string          `path:"version"`
	Algorithm string          `json:"algorithm" required:"true"`
	AuthData  json.RawMessage `json:"auth_data" required:"true"`
	Version   *string         `json:"version"`
}

// changeBackup replaces the auth_data of a version.
//
// PUT /_matrix/client/v3/room_keys/version/{version}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keysversionversion
func (a *API) changeBackup(ctx context.Context, caller httpapi.Caller, req *changeBackupRequest) (*httpapi.Empty, error) {
	if req.Version != nil && *req.Version != req.Path {
		return nil, matrixerr.InvalidParam("version is not that of the path")
	}
	return nil, e2eeError(a.e2ee.SetBackupAuth(ctx, caller.UserID, req.Path, req.Algorithm, req.AuthData))
}

// deleteBackup deletes a version and the keys in it.
//
// DELETE /_matrix/client/v3/room_keys/version/{version}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keysversionversion
func (a *API) deleteBackup(ctx context.Context, caller httpapi.Caller, req *backupRequest) (*httpapi.Empty, error) {
	return nil, e2eeError(a.e2ee.DeleteBackup(ctx, caller.UserID, req.Version))
}

// backupKey is a room key as clients send and get it.
type backupKey struct {
	FirstMessageIndex int64           `json:"first_message_index" required:"true"`
	ForwardedCount    int64           `json:"forwarded_count" required:"true"`
	IsVerified        bool            `json:"is_verified" required:"true"`
	SessionData       json.RawMessage `json:"session_data" required:"true"`
}

func newBackupKey(k store.BackupKey) *backupKey {
	return &backupKey{k.FirstMessageIndex, k.ForwardedCount, k.Verified, k.SessionData}
}

func (k backupKey) of(room event.RoomID, session string) store.BackupKey {
	return store.BackupKey{
		RoomID: string(room), SessionID: session, FirstMessageIndex: k.FirstMessageIndex,
		ForwardedCount: k.ForwardedCount, Verified: k.IsVerified, SessionData: k.SessionData,
	}
}

// roomBackup are the keys of one room.
type roomBackup struct {
	Sessions map[string]backupKey `json:"sessions" required:"true"`
}

type roomKeysResponse struct {
	Count int64  `json:"count"`
	ETag  string `json:"etag"`
}

func newRoomKeysResponse(b *e2ee.Backup, err error) (*roomKeysResponse, error) {
	if err != nil {
		return nil, e2eeError(err)
	}
	return &roomKeysResponse{b.Count, b.ETag}, nil
}

func (a *API) putKeys(ctx context.Context, caller httpapi.Caller, version string, keys []store.BackupKey) (*roomKeysResponse, error) {
	return newRoomKeysResponse(a.e2ee.PutRoomKeys(ctx, caller.UserID, version, keys))
}

type putRoomKeysRequest struct {
	Version string                      `query:"version" required:"true"`
	Rooms   map[event.RoomID]roomBackup `json:"rooms" required:"true"`
}

// putRoomKeys adds keys of many rooms.
//
// PUT /_matrix/client/v3/room_keys/keys
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeys
func (a *API) putRoomKeys(ctx context.Context, caller httpapi.Caller, req *putRoomKeysRequest) (*roomKeysResponse, error) {
	var keys []store.BackupKey
	for room, backup := range req.Rooms {
		for session, k := range backup.Sessions {
			keys = append(keys, k.of(room, session))
		}
	}
	return a.putKeys(ctx, caller, req.Version, keys)
}

type putKeysOfRoomRequest struct {
	Version  string               `query:"version" required:"true"`
	RoomID   event.RoomID         `path:"roomId"`
	Sessions map[string]backupKey `json:"sessions" required:"true"`
}

// putKeysOfRoom adds keys of a room.
//
// PUT /_matrix/client/v3/room_keys/keys/{roomId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomid
func (a *API) putKeysOfRoom(ctx context.Context, caller httpapi.Caller, req *putKeysOfRoomRequest) (*roomKeysResponse, error) {
	var keys []store.BackupKey
	for session, k := range req.Sessions {
		keys = append(keys, k.of(req.RoomID, session))
	}
	return a.putKeys(ctx, caller, req.Version, keys)
}

type putKeyOfSessionRequest struct {
	Version   string          `query:"version" required:"true"`
	RoomID    event.RoomID    `path:"roomId"`
	SessionID string          `path:"sessionId"`
	Key       json.RawMessage `body:"raw"`
}

// putKeyOfSession adds the key of a session.
//
// PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid
func (a *API) putKeyOfSession(ctx context.Context, caller httpapi.Caller, req *putKeyOfSessionRequest) (*roomKeysResponse, error) {
	var k backupKey
	if err := httpapi.DecodeJSON(req.Key, &k); err != nil {
		return nil, err
	}
	return a.putKeys(ctx, caller, req.Version, []store.BackupKey{k.of(req.RoomID, req.SessionID)})
}

type roomKeysRequest struct {
	Version   string       `query:"version" required:"true"`
	RoomID    event.RoomID `path:"roomId"`
	SessionID string       `path:"sessionId"`
}

// keyOfSession returns the key of a session.
//
// GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid
func (a *API) keyOfSession(ctx context.Context, caller httpapi.Caller, req *roomKeysRequest) (*backupKey, error) {
	k, err := a.e2ee.RoomKey(ctx, caller.UserID, req.Version, string(req.RoomID), req.SessionID)
	return newBackupKey(k), e2eeError(err)
}

type allKeysRequest struct {
	Version string `query:"version" required:"true"`
}

// deleteAllKeys deletes all keys of a version.
//
// DELETE /_matrix/client/v3/room_keys/keys
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeys
func (a *API) deleteAllKeys(ctx context.Context, caller httpapi.Caller, req *allKeysRequest) (*roomKeysResponse, error) {
	return newRoomKeysResponse(a.e2ee.DeleteRoomKeys(ctx, caller.UserID, req.Version, "", ""))
}

// deleteRoomKeys deletes the key of a session, or those of a room.
//
// DELETE /_matrix/client/v3/room_keys/keys/{roomId}
// DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeysroomid
func (a *API) deleteRoomKeys(ctx context.Context, caller httpapi.Caller, req *roomKeysRequest) (*roomKeysResponse, error) {
	return newRoomKeysResponse(a.e2ee.DeleteRoomKeys(ctx, caller.UserID, req.Version, string(req.RoomID), req.SessionID))
}
