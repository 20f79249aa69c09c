// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// localpartPattern is the grammar of new local parts.
// https://spec.matrix.org/v1.19/appendices/#user-identifiers
var localpartPattern = regexp.MustCompile(`^[a-z0-9._=/+-]{1,200}$`)

// Validate checks a completed configuration and returns all that is wrong
// with it, each error beginning with the key that it is about.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	if _, err := event.ParseServerName(c.ServerName); err != nil {
		bad("serverName", "%q is not a valid Matrix server name", c.ServerName)
	}
	if c.DataDir == "" {
		bad("dataDir", "must be set")
	}
	if u, err := url.Parse(c.PublicBaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		bad("publicBaseURL", "%q is not an http or https URL", c.PublicBaseURL)
	}
	if c.Media.MaxUploadBytes <= 0 {
		bad("media.maxUploadBytes", "must be positive")
	}
	if c.Media.MaxUserBytes == 0 {
		bad("media.maxUserBytes", "must not be 0; a negative number is no limit")
	}
	if _, known := event.RulesFor(event.RoomVersion(c.Rooms.DefaultVersion)); !known {
		bad("rooms.defaultVersion", "%q is not a room version that this server can create", c.Rooms.DefaultVersion)
	}
	if _, err := c.Level(); err != nil {
		bad("logLevel", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	errs = append(errs, c.Database.validate(), c.Listen.validate(), c.Registration.validate(),
		validateAdmins(c.Admins), c.RateLimits.validate(), c.Outbound.validate(), c.Turn.validate())
	return errors.Join(errs...)
}

// Level returns LogLevel for log/slog.
func (c *Config) Level() (slog.Level, error) {
	levels := map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[c.LogLevel]
	if !ok {
		return 0, fmt.Errorf("unknown log level %q", c.LogLevel)
	}
	return level, nil
}

func (d *Database) validate() error {
	if !slices.Contains([]string{"", "FULL", "NORMAL"}, d.Synchronous) {
		return fmt.Errorf("database.synchronous: %q is neither FULL nor NORMAL", d.Synchronous)
	}
	if d.URL == "" {
		return nil
	}
	// The URL holds a password and is not quoted.
	if u, err := url.Parse(d.URL); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return errors.New("database.url: is not a postgres:// URL")
	}
	return nil
}

func (l *Listen) validate() error {
	var errs []error
	for _, a := range []struct{ key, address string }{
		{"client", l.Client}, {"federation", l.Federation}, {"internal", l.Internal},
	} {
		if a.address == "" && a.key != "client" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.address); err != nil {
			errs = append(errs, fmt.Errorf("listen.%s: %q is not host:port", a.key, a.address))
		}
	}
	if _, err := l.Proxies(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Proxies returns TrustedProxies parsed; a bare address is a range of one.
func (l *Listen) Proxies() ([]netip.Prefix, error) {
	return prefixes("listen.trustedProxies", l.TrustedProxies)
}

func (o *Outbound) validate() error {
	_, err := o.Networks()
	return err
}

// Networks returns AllowedNetworks parsed; a bare address is a range of one.
func (o *Outbound) Networks() ([]netip.Prefix, error) {
	return prefixes("outbound.allowedNetworks", o.AllowedNetworks)
}

func prefixes(key string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, fmt.Errorf("%s[%d]: %q is not an address range", key, i, text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func (r *Registration) validate() error {
	if !slices.Contains([]RegistrationMode{"", RegistrationClosed, RegistrationToken, RegistrationOpen}, r.Mode) {
		return fmt.Errorf("registration.mode: %q is none of Closed, Token, Open", r.Mode)
	}
	return nil
}

func validateAdmins(admins []Admin) error {
	var errs []error
	seen := map[string]bool{}
	for i, a := range admins {
		if !localpartPattern.MatchString(a.Localpart) {
			errs = append(errs, fmt.Errorf("admins[%d].localpart: %q is not a valid local part of a user id", i, a.Localpart))
		}
		if seen[a.Localpart] {
			errs = append(errs, fmt.Errorf("admins[%d].localpart: %q occurs twice", i, a.Localpart))
		}
		seen[a.Localpart] = true
	}
	return errors.Join(errs...)
}

func (r *RateLimits) validate() error {
	var errs []error
	for _, l := range []struct {
		key   string
		limit RateLimit
	}{
		{"message", r.Message},
		{"login", r.Login},
		{"registration", r.Registration},
		{"join", r.Join},
		{"invite", r.Invite},
		{"media", r.Media},
	} {
		if l.limit.Burst < 0 {
			errs = append(errs, fmt.Errorf("rateLimits.%s.burst: must not be negative", l.key))
		}
	}
	return errors.Join(errs...)
}
