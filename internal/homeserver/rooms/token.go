// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"errors"
	"strconv"
	"strings"
)

// ErrBadToken says that a pagination token is none of ours.
var ErrBadToken = errors.New("malformed token")

// Token is the pagination token of the point after the stream position pos.
// /sync, whose tokens begin in the same way, may append "_" and more.
func Token(pos int64) string { return "s" + strconv.FormatInt(pos, 10) }

// ParseToken returns the position of a token; what follows a "_" is not looked at.
func ParseToken(token string) (int64, error) {
	text, ok := strings.CutPrefix(token, "s")
	if !ok {
		return 0, ErrBadToken
	}
	text, _, _ = strings.Cut(text, "_")
	pos, err := strconv.ParseInt(text, 10, 64)
	if err != nil || Token(pos) != "s"+text {
		return 0, ErrBadToken
	}
	return pos, nil
}
