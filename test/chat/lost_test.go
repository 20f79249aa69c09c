// SPDX-License-Identifier: Apache-2.0

//go:build goolm

package chat_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// lossy is a proxy that loses one answer: the server has done what it was
// asked to do, and the client finds its connection broken.
type lossy struct {
	URL     string
	answers atomic.Int64
}

func newLossy(t *testing.T, server string, lost int64) *lossy {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(res *http.Response) error {
		if !asked(res.Request.URL.Path) && l.answers.Add(1) == lost {
			t.Logf("lost: %d %s %s", res.StatusCode, res.Request.Method, res.Request.URL.Path)
			return errors.New("lost")
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	l.URL = front.URL
	return l
}

// asked are the requests that a person repeats, not a client: after a lost
// answer to a registration the name is taken, and one signs in.
func asked(path string) bool {
	return strings.HasSuffix(path, "/register") || strings.HasSuffix(path, "/login")
}

// TestEncryptedRoomsWhenAnAnswerIsLost plays the same day with each answer
// lost in turn. By itself it tries a few of them; FOYER_LOST_ANSWERS=n tries n,
// evenly spread, or all if there are fewer.
func TestEncryptedRoomsWhenAnAnswerIsLost(t *testing.T) {
	tries := homeservertest.Number(t, "FOYER_LOST_ANSWERS", 4)
	for _, postgres := range []bool{false, true} {
		t.Run(map[bool]string{false: "sqlite", true: "postgres"}[postgres], func(t *testing.T) {
			o := homeservertest.Options{Postgres: postgres}
			all := newLossy(t, homeservertest.New(t, o).URL, 0)
			aDay(t, all.URL)
			total := all.answers.Load()
			for i := range min(tries, total) {
				lost := 1 + i*total/min(tries, total)
				t.Run(fmt.Sprintf("answer %d of %d", lost, total), func(t *testing.T) {
					t.Parallel()
					aDay(t, newLossy(t, homeservertest.New(t, o).URL, lost).URL)
				})
			}
		})
	}
}
