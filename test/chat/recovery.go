// SPDX-License-Identifier: Apache-2.0

//go:build goolm

package chat

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/cryptohelper"
	"maunium.net/go/mautrix/crypto/ssss"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// machine is the encryption of the client.
func (u *User) machine() *crypto.OlmMachine {
	helper, ok := u.Crypto.(*cryptohelper.CryptoHelper)
	if !ok {
		panic(fmt.Sprintf("client without encryption: %T", u.Crypto))
	}
	return helper.Machine()
}

// SetUpCrossSigning makes cross-signing keys, puts them into secret storage
// and signs this device. It returns the key of the secret storage.
func (u *User) SetUpCrossSigning(ctx context.Context) (recoveryKey string, err error) {
	return u.machine().GenerateAndVerifyWithRecoveryKey(ctx)
}

// Recover fetches the cross-signing keys from secret storage and signs this device.
func (u *User) Recover(ctx context.Context, recoveryKey string) error {
	return u.machine().VerifyWithRecoveryKey(ctx, recoveryKey)
}

// Verify signs another user's master key.
func (u *User) Verify(ctx context.Context, other *User) error {
	keys, err := u.machine().GetCrossSigningPublicKeys(ctx, other.UserID)
	if err != nil {
		return fmt.Errorf("keys of %s: %w", other.UserID, err)
	}
	if keys == nil {
		return fmt.Errorf("%s has no cross-signing keys", other.UserID)
	}
	return u.machine().SignUser(ctx, other.UserID, keys.MasterKey)
}

// poll blocks until done, which it calls again and again, because the crypto
// store does not tell of its changes.
func (u *User) poll(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s never saw %s: %w", u.UserID, what, ctx.Err())
		}
	}
}

// WaitForDevices blocks until the client knows exactly these devices of their user.
func (u *User) WaitForDevices(ctx context.Context, devices ...*User) error {
	return u.poll(ctx, fmt.Sprintf("%d devices of %s", len(devices), devices[0].UserID), func() (bool, error) {
		known, err := u.machine().CryptoStore.GetDevices(ctx, devices[0].UserID)
		if err != nil || len(known) != len(devices) {
			return false, err
		}
		for _, d := range devices {
			if _, ok := known[d.DeviceID]; !ok {
				return false, nil
			}
		}
		return true, nil
	})
}

// WaitForTrust blocks until the client trusts a device in this way.
func (u *User) WaitForTrust(ctx context.Context, device *User, want id.TrustState) error {
	last := id.TrustStateUnset
	err := u.poll(ctx, "trust "+want.String()+" of "+device.DeviceID.String(), func() (bool, error) {
		known, err := u.machine().CryptoStore.GetDevice(ctx, device.UserID, device.DeviceID)
		if err != nil || known == nil {
			return false, err
		}
		last, err = u.machine().ResolveTrustContext(ctx, known)
		return last == want, err
	})
	if err != nil {
		return fmt.Errorf("%w (trust is %s)", err, last)
	}
	return nil
}

// secretStorage opens the secret storage of the user.
func (u *User) secretStorage(ctx context.Context, recoveryKey string) (*ssss.Key, error) {
	keyID, data, err := u.machine().SSSS.GetDefaultKeyData(ctx)
	if err != nil {
		return nil, fmt.Errorf("secret storage: %w", err)
	}
	return data.VerifyRecoveryKey(keyID, recoveryKey)
}

// BackUp makes a key backup, whose key goes into secret storage, and puts all
// keys that the client has into it. It returns how many those are.
func (u *User) BackUp(ctx context.Context, recoveryKey string) (int, error) {
	storage, err := u.secretStorage(ctx, recoveryKey)
	if err != nil {
		return 0, err
	}
	key, err := backup.NewMegolmBackupKey()
	if err != nil {
		return 0, err
	}
	if err := u.machine().SSSS.SetEncryptedAccountData(ctx, event.AccountDataMegolmBackupKey, key.Bytes(), storage); err != nil {
		return 0, fmt.Errorf("store backup key: %w", err)
	}
	version, err := u.CreateKeyBackupVersion(ctx, &mautrix.ReqRoomKeysVersionCreate[backup.MegolmAuthData]{
		Algorithm: id.KeyBackupAlgorithmMegolmBackupV1,
		AuthData:  backup.MegolmAuthData{PublicKey: id.Ed25519(base64.RawStdEncoding.EncodeToString(key.PublicKey().Bytes()))},
	})
	if err != nil {
		return 0, fmt.Errorf("create backup: %w", err)
	}
	sessions, err := u.machine().CryptoStore.GetAllGroupSessions(ctx).AsList()
	if err != nil {
		return 0, err
	}
	req := &mautrix.ReqKeyBackup{Rooms: map[id.RoomID]mautrix.ReqRoomKeyBackup{}}
	for _, s := range sessions {
		data, err := encryptSession(key, s)
		if err != nil {
			return 0, err
		}
		if req.Rooms[s.RoomID].Sessions == nil {
			req.Rooms[s.RoomID] = mautrix.ReqRoomKeyBackup{Sessions: map[id.SessionID]mautrix.ReqKeyBackupData{}}
		}
		req.Rooms[s.RoomID].Sessions[s.ID()] = data
	}
	res, err := u.PutKeysInBackup(ctx, version.Version, req)
	if err != nil {
		return 0, fmt.Errorf("back up: %w", err)
	}
	if res.Count != len(sessions) {
		return 0, fmt.Errorf("the backup has %d keys, want %d", res.Count, len(sessions))
	}
	return res.Count, nil
}

func encryptSession(key *backup.MegolmBackupKey, s *crypto.InboundGroupSession) (mautrix.ReqKeyBackupData, error) {
	exported, err := s.Internal.Export(s.Internal.FirstKnownIndex())
	if err != nil {
		return mautrix.ReqKeyBackupData{}, fmt.Errorf("export session: %w", err)
	}
	data, err := backup.EncryptSessionData(key, backup.MegolmSessionData{
		Algorithm: id.AlgorithmMegolmV1, ForwardingKeyChain: []string{}, SenderKey: s.SenderKey,
		SenderClaimedKeys: backup.SenderClaimedKeys{Ed25519: s.SigningKey}, SessionKey: string(exported),
	})
	if err != nil {
		return mautrix.ReqKeyBackupData{}, fmt.Errorf("encrypt session: %w", err)
	}
	text, err := json.Marshal(data)
	return mautrix.ReqKeyBackupData{
		FirstMessageIndex: int(s.Internal.FirstKnownIndex()), IsVerified: true, SessionData: text,
	}, err
}

// Restore reads the key backup with the key from secret storage.
func (u *User) Restore(ctx context.Context, recoveryKey string) error {
	storage, err := u.secretStorage(ctx, recoveryKey)
	if err != nil {
		return err
	}
	secret, err := u.machine().SSSS.GetDecryptedAccountData(ctx, event.AccountDataMegolmBackupKey, storage)
	if err != nil {
		return fmt.Errorf("backup key: %w", err)
	}
	key, err := backup.MegolmBackupKeyFromBytes(secret)
	if err != nil {
		return err
	}
	version, err := u.machine().DownloadAndStoreLatestKeyBackup(ctx, key)
	if err == nil && version == "" {
		err = errors.New("there is no key backup")
	}
	return err
}

// History reads the room backwards and returns its messages by their body,
// and how many of them the client cannot decrypt.
func (u *User) History(ctx context.Context, room id.RoomID) (seen map[string]int, unreadable int, err error) {
	seen = map[string]int{}
	for from := ""; ; {
		page, err := u.Client.Messages(ctx, room, from, "", mautrix.DirectionBackward, nil, 20)
		if err != nil {
			return nil, 0, fmt.Errorf("messages: %w", err)
		}
		for _, evt := range page.Chunk {
			if evt.Type.Type != event.EventEncrypted.Type {
				continue
			}
			evt.Type.Class = event.MessageEventType
			if err := evt.Content.ParseRaw(evt.Type); err != nil {
				return nil, 0, fmt.Errorf("event %s: %w", evt.ID, err)
			}
			decrypted, err := u.Crypto.Decrypt(ctx, evt)
			if err != nil {
				unreadable++
				continue
			}
			seen[decrypted.Content.AsMessage().Body]++
		}
		if page.End == "" || page.End == from {
			return seen, unreadable, nil
		}
		from = page.End
	}
}
