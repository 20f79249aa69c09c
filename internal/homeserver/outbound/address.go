// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"fmt"
	"net/netip"
)

// reserved are the ranges that belong to nobody on the internet, beyond what
// netip knows itself. IPv6 outside 2000::/3 is refused as a whole.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
func reserved() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001:10::/28", "2001:20::/28", "2001:2::/48", "2001:db8::/32", "3fff::/20",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// guard decides which addresses may be dialled.
type guard struct {
	allowed, reserved []netip.Prefix
}

func newGuard(allowed []netip.Prefix) *guard { return &guard{allowed: allowed, reserved: reserved()} }

// check returns ErrBlocked for an address that is neither public nor allowed.
// An IPv6 address that leads to an IPv4 one counts as that one as well.
func (g *guard) check(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	if contains(g.allowed, a) {
		return nil
	}
	if !g.public(a) {
		return fmt.Errorf("%w: %s", ErrBlocked, a)
	}
	for _, inner := range embedded(a) {
		if !contains(g.allowed, inner) && !g.public(inner) {
			return fmt.Errorf("%w: %s leads to %s", ErrBlocked, a, inner)
		}
	}
	return nil
}

func (g *guard) public(a netip.Addr) bool {
	switch {
	case !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || contains(g.reserved, a):
		return false
	case a.Is4():
		return true
	default:
		return globalIPv6.Contains(a) || nat64.Contains(a)
	}
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// The ranges of IPv6 that matter by name.
var (
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour  = netip.MustParsePrefix("2002::/16")    // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")    // RFC 4380
)

// embedded returns the IPv4 addresses that packets to a may end at.
func embedded(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	four := func(at int, flip byte) netip.Addr {
		return netip.AddrFrom4([4]byte{b[at] ^ flip, b[at+1] ^ flip, b[at+2] ^ flip, b[at+3] ^ flip})
	}
	switch {
	case nat64.Contains(a):
		return []netip.Addr{four(12, 0)}
	case sixToFour.Contains(a):
		return []netip.Addr{four(2, 0)}
	case teredo.Contains(a):
		return []netip.Addr{four(4, 0), four(12, 0xff)} // the server's and the client's
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, RFC 5214
		return []netip.Addr{four(12, 0)}
	default:
		return nil
	}
}
