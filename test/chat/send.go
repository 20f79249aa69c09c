// SPDX-License-Identifier: Apache-2.0

//go:build goolm

package chat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/attachment"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// SendUntilAcknowledged sends a text and repeats the request, with the same
// transaction id, until the server has acknowledged it, as a client does
// through an outage.
func (u *User) SendUntilAcknowledged(ctx context.Context, room id.RoomID, body string) (id.EventID, error) {
	// Encrypted once: a repeated request must carry the same content.
	content := &event.MessageEventContent{MsgType: event.MsgText, Body: body}
	encrypted, err := u.Crypto.Encrypt(ctx, room, event.EventMessage, content)
	if err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	txn := u.TxnID()
	for {
		res, err := u.SendMessageEvent(ctx, room, event.EventEncrypted, encrypted, mautrix.ReqSendEvent{TransactionID: txn})
		if err == nil {
			return res.EventID, nil
		}
		if !isOutage(err) && !errors.Is(err, mautrix.MLimitExceeded) {
			return "", fmt.Errorf("send %q: %w", body, err)
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("send %q: %w", body, errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// SendFile uploads data encrypted and sends it as an attachment.
func (u *User) SendFile(ctx context.Context, room id.RoomID, name string, data []byte) (id.EventID, error) {
	file := attachment.NewEncryptedFile()
	upload, err := u.UploadBytes(ctx, file.Encrypt(data), "application/octet-stream")
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", name, err)
	}
	res, err := u.SendMessageEvent(ctx, room, event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgFile, Body: name,
		File: &event.EncryptedFileInfo{EncryptedFile: *file, URL: upload.ContentURI.CUString()},
	})
	if err != nil {
		return "", fmt.Errorf("send %s: %w", name, err)
	}
	return res.EventID, nil
}

// ReadFile downloads and decrypts the attachment of a message.
func (u *User) ReadFile(ctx context.Context, m Message) ([]byte, error) {
	if m.Content.File == nil {
		return nil, fmt.Errorf("message %s has no attachment", m.ID)
	}
	uri, err := m.Content.File.URL.Parse()
	if err != nil {
		return nil, fmt.Errorf("attachment of %s: %w", m.ID, err)
	}
	data, err := u.DownloadBytes(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("download attachment: %w", err)
	}
	return m.Content.File.Decrypt(data)
}

// Status is the HTTP status of an error of the server, 0 for others.
func Status(err error) int {
	var answer mautrix.HTTPError
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode
	}
	return 0
}

// Reachable tells whether the server answers at all.
func Reachable(ctx context.Context, server Server) error {
	cli, err := newClient(server)
	if err != nil {
		return err
	}
	_, err = cli.Versions(ctx)
	if Status(err) == http.StatusNotFound {
		return errors.New("something else answers at " + server.URL)
	}
	return err
}
