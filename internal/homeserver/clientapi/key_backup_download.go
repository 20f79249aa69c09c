// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// A backup can hold hundreds of megabytes, so it is written while it is read.

// roomKeys returns all keys of a version.
//
// GET /_matrix/client/v3/room_keys/keys
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeys
func (a *API) roomKeys(w http.ResponseWriter, r *httpapi.Request) error {
	return a.writeRoomKeys(w, r, "", &keyWriter{open: `{"rooms":{`, end: `}}`, rooms: true})
}

// keysOfRoom returns the keys of a room.
//
// GET /_matrix/client/v3/room_keys/keys/{roomId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeysroomid
func (a *API) keysOfRoom(w http.ResponseWriter, r *httpapi.Request) error {
	room, err := event.ParseRoomID(r.Param("roomId"))
	if err != nil {
		return matrixerr.InvalidParam("roomId is not a valid identifier")
	}
	return a.writeRoomKeys(w, r, string(room), &keyWriter{open: `{"sessions":{`, end: `}}`})
}

func (a *API) writeRoomKeys(w http.ResponseWriter, r *httpapi.Request, room string, k *keyWriter) error {
	query := r.URL.Query()
	if !query.Has("version") {
		return matrixerr.MissingParam("version")
	}
	begun := false
	err := a.e2ee.RoomKeys(r.Context(), r.Caller.UserID, query.Get("version"), room, func(keys []store.BackupKey) error {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/json")
		}
		piece, err := k.append(nil, keys)
		if err != nil || len(piece) == 0 {
			return err
		}
		return writePiece(w, piece)
	})
	if err != nil {
		return e2eeError(err)
	}
	return writePiece(w, k.finish())
}

// keyWriter encodes keys that come room by room.
type keyWriter struct {
	open, end string
	rooms     bool   // the sessions are under their rooms
	room      string // whose sessions are being written
	begun     bool
	comma     bool // the object that is open has a member
}

func (k *keyWriter) append(dst []byte, keys []store.BackupKey) ([]byte, error) {
	if !k.begun {
		k.begun = true
		dst = append(dst, k.open...)
	}
	for _, key := range keys {
		if k.rooms && key.RoomID != k.room {
			dst = k.openRoom(dst, key.RoomID)
		}
		if k.comma {
			dst = append(dst, ',')
		}
		k.comma = true
		text, err := json.Marshal(newBackupKey(key))
		if err != nil {
			return nil, fmt.Errorf("encode room key: %w", err)
		}
		dst = append(append(event.AppendString(dst, key.SessionID), ':'), text...)
	}
	return dst, nil
}

func (k *keyWriter) openRoom(dst []byte, room string) []byte {
	if k.room != "" {
		dst = append(dst, `}},`...)
	}
	k.room, k.comma = room, false
	return append(event.AppendString(dst, room), `:{"sessions":{`...)
}

func (k *keyWriter) finish() []byte {
	if k.room != "" {
		return []byte(`}}` + k.end)
	}
	return []byte(k.end)
}
