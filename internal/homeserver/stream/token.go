// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
)

// ErrBadToken says that a since token is none of ours.
var ErrBadToken = rooms.ErrBadToken

// Token is a point in everything that /sync tells a device. As text it begins
// like the pagination tokens of rooms, so that /messages takes it too:
// s<Pos>[_<Typing>[_<ToDevice>]].
type Token struct {
	// Pos is the position in the stream that everything stored shares.
	Pos int64
	// Typing counts changes of who types and who is there; it means something only to the replica and start that gave it.
	Typing int64
	// ToDevice is the position of the last to-device message delivered. It is
	// behind Pos only when there were too many for one answer.
	ToDevice int64
}

// String returns the token as clients get it.
func (t Token) String() string {
	text := rooms.Token(t.Pos)
	if t.Typing != 0 || t.ToDevice != t.Pos {
		text += "_" + strconv.FormatInt(t.Typing, 10)
	}
	if t.ToDevice != t.Pos {
		text += "_" + strconv.FormatInt(t.ToDevice, 10)
	}
	return text
}

// ParseToken reads a token.
//
// Errors: ErrBadToken.
func ParseToken(text string) (Token, error) {
	pos, err := rooms.ParseToken(text)
	if err != nil || pos < 0 {
		return Token{}, ErrBadToken
	}
	t := Token{Pos: pos, ToDevice: pos}
	parts := strings.Split(text, "_")[1:]
	for i, field := range []*int64{&t.Typing, &t.ToDevice} {
		if i >= len(parts) {
			break
		}
		if *field, err = strconv.ParseInt(parts[i], 10, 64); err != nil || *field < 0 {
			return Token{}, ErrBadToken
		}
	}
	if len(parts) > 2 || t.ToDevice > t.Pos {
		return Token{}, fmt.Errorf("%w: it has too many parts or is ahead of itself", ErrBadToken)
	}
	return t, nil
}
