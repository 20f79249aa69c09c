// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// The cost of a password hash: 19 MiB, two passes, one thread, the smallest
// that OWASP recommends. It is also the most that a Raspberry Pi should spend
// on one sign-in; raising it later only affects new hashes, because each hash
// names its own cost.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
)

// What a password may be. The upper bound keeps hashing a constant cost.
const (
	minPassword = 8
	maxPassword = 512
)

// hasher hashes passwords, a few at a time, so that a crowd signing in costs
// time and not memory.
type hasher struct {
	slots chan struct{}
	idle  *time.Timer
}

// hasherIdle is how long after the last hash its memory is given back.
const hasherIdle = 5 * time.Second

func newHasher() *hasher {
	h := &hasher{slots: make(chan struct{}, max(1, min(4, runtime.GOMAXPROCS(0)/2)))}
	// Otherwise the memory of a few hashes would be a small server's largest
	// part until the next collection, which an idle server does not need for minutes.
	h.idle = time.AfterFunc(hasherIdle, debug.FreeOSMemory)
	h.idle.Stop()
	return h
}

// run calls f when there is a free slot.
func (h *hasher) run(ctx context.Context, f func()) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		h.idle.Reset(hasherIdle)
		<-h.slots
	}()
	f()
	return nil
}

// CheckPassword returns M_WEAK_PASSWORD for passwords that are too short or
// too long.
func CheckPassword(password string) error {
	if n := len(password); n < minPassword || n > maxPassword {
		return matrixerr.BadRequest(matrixerr.CodeWeakPassword,
			fmt.Sprintf("a password must have %d to %d bytes", minPassword, maxPassword))
	}
	return nil
}

// hash returns the encoded hash of password, which CheckPassword has passed.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	var encoded string
	err := h.run(ctx, func() { encoded = encodeArgon(password) })
	return encoded, err
}

func encodeArgon(password string) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails: crypto/rand
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// matches reports whether password is the one that encoded was made of. For
// an empty encoded it spends the same time and says no, so that the answer's
// time does not tell whether an account exists.
func (h *hasher) matches(ctx context.Context, encoded, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	var ok bool
	var err error
	if encoded == "" {
		return false, h.run(ctx, func() { _ = encodeArgon(password) })
	}
	if werr := h.run(ctx, func() { ok, err = verify(encoded, password) }); werr != nil {
		return false, werr
	}
	return ok, err
}

// verify compares with an argon2id hash, or with a bcrypt hash of an imported account.
func verify(encoded, password string) (bool, error) {
	if strings.HasPrefix(encoded, "$2") {
		err := bcrypt.CompareHashAndPassword([]byte(encoded), []byte(password))
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) || errors.Is(err, bcrypt.ErrPasswordTooLong) {
			return false, nil
		}
		return err == nil, err
	}
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("password hash of unknown kind")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errors.New("password hash of unknown version")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
		return false, errors.New("password hash without parameters")
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, errors.New("password hash with a bad salt")
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false, errors.New("password hash with a bad key")
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
