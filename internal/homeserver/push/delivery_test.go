// SPDX-License-Identifier: Apache-2.0

package push

import (
	"slices"
	"testing"
	"time"
)

func TestAPusherThatFailsIsTriedLessAndLessOften(t *testing.T) {
	for failures, want := range map[int64]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 14: time.Hour, 1 << 40: time.Hour,
	} {
		if got := backOff(failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}

func TestWhatGatewaysAnswer(t *testing.T) {
	for answer, want := range map[string][]string{
		`{"rejected":["a","b"]}`: {"a", "b"}, `{"rejected":[]}`: nil, `{}`: nil, ``: nil, `ok`: nil, `[]`: nil, `"x"`: nil,
		`{"rejected":"a"}`: nil, `{"rejected":[1,"a",null]}`: {"a"}, `{"rejected":["a"`: nil, ` { "rejected" : [ "a" ] } `: {"a"},
	} {
		if got := rejectedIn([]byte(answer)); !slices.Equal(got, want) {
			t.Errorf("%s rejects %q, want %q", answer, got, want)
		}
	}
}
