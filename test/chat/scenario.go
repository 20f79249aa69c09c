// SPDX-License-Identifier: Apache-2.0

//go:build goolm

package chat

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// EncryptedRoom has a create an encrypted room and b join it.
func EncryptedRoom(ctx context.Context, a, b *User) (id.RoomID, error) {
	res, err := a.CreateRoom(ctx, &mautrix.ReqCreateRoom{
		Preset: "private_chat", Name: "Foyer", Invite: []id.UserID{b.UserID},
		InitialState: []*event.Event{{
			Type:    event.StateEncryption,
			Content: event.Content{Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}},
		}},
	})
	if err != nil {
		return "", fmt.Errorf("create room: %w", err)
	}
	if _, err := b.JoinRoomByID(ctx, res.RoomID); err != nil {
		return "", fmt.Errorf("join room: %w", err)
	}
	for _, u := range []*User{a, b} {
		if err := u.WaitForEncryption(ctx, res.RoomID, 2); err != nil {
			return "", err
		}
	}
	return res.RoomID, nil
}

// Exchange sends a message, an attachment and a read receipt each way and
// checks that they arrive.
func Exchange(ctx context.Context, room id.RoomID, a, b *User) error {
	for _, pair := range [][2]*User{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		sent, err := from.SendUntilAcknowledged(ctx, room, "hello from "+from.UserID.String())
		if err != nil {
			return err
		}
		if _, err := to.WaitForMessage(ctx, room, sent); err != nil {
			return err
		}
		if err := to.MarkRead(ctx, room, sent); err != nil {
			return fmt.Errorf("mark read: %w", err)
		}
		if err := from.WaitForReceipt(ctx, sent, to.UserID); err != nil {
			return err
		}
		if err := exchangeFile(ctx, room, from, to); err != nil {
			return err
		}
	}
	return nil
}

func exchangeFile(ctx context.Context, room id.RoomID, from, to *User) error {
	data := make([]byte, 100<<10)
	if _, err := rand.Read(data); err != nil {
		return err
	}
	sent, err := from.SendFile(ctx, room, "photo.jpg", data)
	if err != nil {
		return err
	}
	m, err := to.WaitForMessage(ctx, room, sent)
	if err != nil {
		return err
	}
	got, err := to.ReadFile(ctx, m)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("%s read another attachment than %s sent", to.UserID, from.UserID)
	}
	return nil
}
