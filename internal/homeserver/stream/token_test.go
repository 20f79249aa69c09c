// SPDX-License-Identifier: Apache-2.0

package stream

import "testing"

// FuzzToken checks that a token that is taken says the same when it is given
// out again: a client that got it back goes on from the same point.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "s", "s0", "s5", "s5_1", "s5_1_3", "s5_1_9", "s5__", "s05", "s+5", "s-1", "s9223372036854775808", "t5", "s5_1_3_4", "s5_-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if token.Pos < 0 || token.Typing < 0 || token.ToDevice < 0 || token.ToDevice > token.Pos {
			t.Fatalf("ParseToken(%q) = %+v, a point that no /sync gives", text, token)
		}
		if again, err := ParseToken(token.String()); err != nil || again != token {
			t.Fatalf("ParseToken(%q) = %+v, given out as %q, which is %+v, %v", text, token, token.String(), again, err)
		}
	})
}
