// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/outbound"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

// listener is a log handler that passes messages on.
type listener struct {
	slog.Handler
	heard chan string
}

func (l listener) Enabled(context.Context, slog.Level) bool { return true }

func (l listener) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.Value.String()
		return true
	})
	l.heard <- text
	return nil
}

// tell makes a server whose bob has a pusher at url, sends bob a message, and
// returns what the server logs.
func tell(t *testing.T, s *store.Store, url string, o outbound.Options) (told string) {
	t.Helper()
	w := newWorld(t, s, 1)
	heard := make(chan string, 100)
	client := outbound.New(o)
	t.Cleanup(client.Close)
	p := push.New(push.Options{
		Store: s, Rooms: w.rooms, Outbound: client, Log: slog.New(listener{slog.DiscardHandler, heard}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	w.ok(p.SetPusher(t.Context(), w.users[1], "PHONE", []byte(`{"app_id":"a","pushkey":"k","kind":"http","app_display_name":"a",
		"device_display_name":"p","lang":"en","data":{"url":"`+url+`/_matrix/push/v1/notify"}}`)))
	w.send(w.users[0])
	select {
	case told = <-heard:
	case <-t.Context().Done():
		t.Fatal("nothing was logged")
	}
	return told
}

func TestH76NoGatewayIsToldAtAnAddressThatIsNotAllowed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		var reached atomic.Bool
		gateway := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
		t.Cleanup(gateway.Close)
		pool := x509.NewCertPool()
		pool.AddCert(gateway.Certificate())
		_, port, _ := strings.Cut(strings.TrimPrefix(gateway.URL, "https://"), ":")
		// A name cannot be refused when the pusher is set, for what it stands for may change.
		if told := tell(t, open(), "https://localhost:"+port, outbound.Options{RootCAs: pool}); !strings.Contains(told, outbound.ErrBlocked.Error()) {
			t.Errorf("logged %q", told)
		}
		if reached.Load() {
			t.Error("the gateway was reached")
		}
	})
}

func TestH76AGatewayCannotSendTheServerElsewhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		var reached atomic.Bool
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
		t.Cleanup(other.Close)
		gateway := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
		t.Cleanup(gateway.Close)
		pool := x509.NewCertPool()
		pool.AddCert(gateway.Certificate())
		o := outbound.Options{RootCAs: pool, AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		if told := tell(t, open(), gateway.URL, o); !strings.Contains(told, "status 307") {
			t.Errorf("logged %q", told)
		}
		if reached.Load() {
			t.Error("the redirect was followed")
		}
	})
}
