// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAddressesThatAreNotPublicAreNotDialled(t *testing.T) {
	for address, why := range map[string]string{
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "0.0.0.0": "this host", "0.1.2.3": "this network",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"169.254.169.254": "metadata of clouds", "100.64.0.1": "carrier NAT", "192.0.0.1": "protocol assignments",
		"192.0.2.1": "documentation", "198.51.100.1": "documentation", "203.0.113.9": "documentation",
		"198.18.0.1": "benchmarks", "192.88.99.1": "6to4 relays", "224.0.0.1": "multicast", "240.0.0.1": "future", "255.255.255.255": "broadcast",
		"::": "unspecified", "::1": "loopback", "::ffff:10.0.0.1": "mapped private", "::ffff:127.0.0.1": "mapped loopback",
		"::7f00:1": "compatible loopback", "64:ff9b::a00:1": "NAT64 to 10.0.0.1", "64:ff9b::7f00:1": "NAT64 to loopback",
		"64:ff9b:1::a00:1": "local NAT64", "2002:a00:1::": "6to4 to 10.0.0.1", "2002:7f00:1::1": "6to4 to loopback",
		"2001:0:a00:1::": "Teredo server 10.0.0.1", "2001:0:808:808:0:0:f5ff:fffe": "Teredo client 10.0.0.1",
		"2600::5efe:a00:1": "ISATAP to 10.0.0.1", "2600::200:5efe:7f00:1": "ISATAP to loopback",
		"fe80::1": "link-local", "fe80::1%eth0": "link-local with a zone", "fec0::1": "site-local", "fc00::1": "unique local", "fd12::1": "unique local",
		"ff02::1": "multicast", "2001:db8::1": "documentation", "3fff::1": "documentation", "100::1": "discard", "5f00::1": "segment routing",
	} {
		if err := newGuard(nil).check(netip.MustParseAddr(address)); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s (%s): %v", address, why, err)
		}
	}
}

func TestPublicAddressesAreDialled(t *testing.T) {
	for _, address := range []string{
		"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "223.255.255.254", "::ffff:8.8.8.8",
		"2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "2001:0:808:808:0:0:f7f7:f7f7", "2600::5efe:808:808",
	} {
		if err := newGuard(nil).check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAllowedNetworksAreDialled(t *testing.T) {
	g := newGuard([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")})
	for address, allowed := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "::ffff:10.1.0.1": true, "64:ff9b::a01:1": true, "64:ff9b::a02:1": false,
		"fd12::1": true, "fc12::1": false, "127.0.0.1": false,
	} {
		if err := g.check(netip.MustParseAddr(address)); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", address, err, allowed)
		}
	}
}

// server answers on loopback, which allowed decides about.
func server(t *testing.T, handler http.HandlerFunc, allowed ...string) (*Client, string) {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	o := Options{RootCAs: pool}
	for _, network := range allowed {
		o.AllowedNetworks = append(o.AllowedNetworks, netip.MustParsePrefix(network))
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c, s.URL
}

func get(t *testing.T, c *Client, url string, l Limits) (*Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(r, l)
}

func TestH76NothingIsSentToAnAddressThatIsNotAllowed(t *testing.T) {
	reached := false
	c, url := server(t, func(http.ResponseWriter, *http.Request) { reached = true })
	port := url[strings.LastIndex(url, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		if _, err := get(t, c, "https://"+host+port+"/", Limits{}); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if reached {
		t.Error("the server was reached")
	}
	if _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1"+port); !errors.Is(err, ErrBlocked) {
		t.Errorf("dialled: %v", err)
	}
}

func TestWhatIsAllowedIsAnswered(t *testing.T) {
	c, url := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, "127.0.0.0/8")
	res, err := get(t, c, url, Limits{})
	if err != nil || res.Status != http.StatusOK || string(res.Body) != "hello" {
		t.Errorf("answer %+v, %v", res, err)
	}
}

func TestALargeAnswerIsRefused(t *testing.T) {
	c, url := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 101)) }, "127.0.0.0/8")
	if _, err := get(t, c, url, Limits{Body: 100}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("101 bytes of 100: %v", err)
	}
	if res, err := get(t, c, url, Limits{Body: 101}); err != nil || len(res.Body) != 101 {
		t.Errorf("101 bytes of 101: %v", err)
	}
}

func TestASlowAnswerEnds(t *testing.T) {
	stop := make(chan struct{})
	c, url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-stop
	}, "127.0.0.0/8")
	t.Cleanup(func() { close(stop) })
	if res, err := get(t, c, url, Limits{Time: 50 * time.Millisecond}); err == nil {
		t.Errorf("waited for a body that never ends: %+v", res)
	}
}

func TestRedirectsAreFollowedAsFarAsAllowed(t *testing.T) {
	hops := 0
	c, url := server(t, func(w http.ResponseWriter, r *http.Request) {
		hops++
		target := "/next"
		if r.URL.Path == "/plain" {
			target = "http://" + r.Host + "/"
		}
		http.Redirect(w, r, target, http.StatusFound)
	}, "127.0.0.0/8")
	res, err := get(t, c, url, Limits{})
	if err != nil || res.Status != http.StatusFound || hops != 1 {
		t.Errorf("none allowed: %+v, %v after %d requests", res, err, hops)
	}
	hops = 0
	if _, err := get(t, c, url, Limits{Redirects: 100}); !errors.Is(err, ErrRedirect) || hops != MaxRedirects+1 {
		t.Errorf("endless: %v after %d requests", err, hops)
	}
	if _, err := get(t, c, url+"/plain", Limits{Redirects: 5}); !errors.Is(err, ErrRedirect) {
		t.Errorf("to http: %v", err)
	}
}

func TestH76ARedirectToAnAddressThatIsNotAllowedIsNotDialled(t *testing.T) {
	c, url := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := strings.Cut(r.Host, ":")
		http.Redirect(w, r, "https://127.0.0.2:"+port+"/", http.StatusFound)
	}, "127.0.0.1/32")
	if _, err := get(t, c, url, Limits{Redirects: 5}); !errors.Is(err, ErrBlocked) {
		t.Errorf("redirected: %v", err)
	}
}
