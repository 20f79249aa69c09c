// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
)

// Turn says where clients find TURN servers for calls. Without URIs there are none.
type Turn struct {
	// URIs of the servers, for example turn:turn.campus.example:3478?transport=udp
	// and turns:turn.campus.example:5349.
	URIs []string `json:"uris,omitempty"`
	// SharedSecretFile holds the secret that the TURN servers know too:
	// static-auth-secret in coturn.
	SharedSecretFile string `json:"sharedSecretFile,omitempty"`
	// LifetimeSeconds is how long credentials can be used. Default 86400 (a day).
	LifetimeSeconds int64 `json:"lifetimeSeconds,omitempty"`
}

// turnURI is the grammar of RFC 7065, except for the host.
var turnURI = regexp.MustCompile(`^turns?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(\?transport=[A-Za-z0-9_.~-]+)?$`)

func (t *Turn) validate() error {
	var errs []error
	for i, uri := range t.URIs {
		parts := turnURI.FindStringSubmatch(uri)
		if parts == nil || parts[1][0] == '[' && net.ParseIP(parts[1][1:len(parts[1])-1]) == nil {
			errs = append(errs, fmt.Errorf("turn.uris[%d]: %q is no turn: or turns: URI", i, uri))
		}
	}
	if len(t.URIs) > 0 && t.SharedSecretFile == "" {
		errs = append(errs, errors.New("turn.sharedSecretFile: must be set where turn.uris are"))
	}
	if t.LifetimeSeconds <= 0 {
		errs = append(errs, errors.New("turn.lifetimeSeconds: must be positive"))
	}
	return errors.Join(errs...)
}
