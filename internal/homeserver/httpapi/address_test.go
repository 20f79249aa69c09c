// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, test := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:5", nil, "192.0.2.1"},
		{"a peer that is no proxy is not believed", "192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:5", []string{"198.51.100.7"}, "198.51.100.7"},
		{"what the client made up stands further left", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"two proxies", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.7, 10.2.3.4"}, "198.51.100.7"},
		{"several headers are one list", "10.0.0.1:5", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7"},
		{"only proxies", "10.0.0.1:5", []string{"10.9.9.9"}, "10.9.9.9"},
		{"garbage is where belief ends", "10.0.0.1:5", []string{"203.0.113.9, x, 10.2.3.4"}, "10.2.3.4"},
		{"an empty header", "10.0.0.1:5", []string{""}, "10.0.0.1"},
		{"a mapped address is the plain one", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"IPv6", "[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = test.peer
			r.Header["X-Forwarded-For"] = test.forwarded
			if got := clientAddress(r, trusted); got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAddressKeyIsASubscriber(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8:1:2::1"), netip.MustParseAddr("2001:db8:1:2:ffff::1")
	if AddressKey(a) != AddressKey(b) {
		t.Error("two addresses of one /64 are counted apart")
	}
	if AddressKey(a) == AddressKey(netip.MustParseAddr("2001:db8:1:3::1")) {
		t.Error("two /64 are counted together")
	}
}
