// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// maxPushers is how many pushers a user may have.
	maxPushers = 100
	// maxAppID and maxPushKey are the longest of them, in characters and in bytes.
	maxAppID, maxPushKey = 64, 512
	// maxPusherName is the longest name and language of a pusher, in bytes.
	maxPusherName = 255
	// maxPusherData is how large the data of a pusher may be, in bytes.
	maxPusherData = 8 << 10
	// kindHTTP is the only kind of pusher that there is here.
	kindHTTP = "http"
	// notifyPath is the path of every push gateway.
	notifyPath = "/_matrix/push/v1/notify"
)

// Pusher is a pusher as clients see it.
type Pusher struct {
	AppID       string          `json:"app_id"`
	PushKey     string          `json:"pushkey"`
	Kind        string          `json:"kind"`
	AppName     string          `json:"app_display_name"`
	DeviceName  string          `json:"device_display_name"`
	ProfileTag  string          `json:"profile_tag,omitempty"`
	Language    string          `json:"lang"`
	Data        json.RawMessage `json:"data"`
	url, device string
}

// pusherNames is what of a pusher is only for show.
type pusherNames struct {
	AppName    string `json:"app_display_name"`
	DeviceName string `json:"device_display_name"`
	ProfileTag string `json:"profile_tag,omitempty"`
	Language   string `json:"lang"`
}

// Pushers returns the pushers of a user.
func (s *Service) Pushers(ctx context.Context, user event.UserID) ([]Pusher, error) {
	rows, err := s.store.Pushers(ctx, string(user))
	if err != nil {
		return nil, fmt.Errorf("read pushers: %w", err)
	}
	pushers := make([]Pusher, 0, len(rows))
	for _, row := range rows {
		var n pusherNames
		if err := json.Unmarshal(row.Names, &n); err != nil {
			return nil, fmt.Errorf("%w: names of a pusher: %w", store.ErrCorrupt, err)
		}
		pushers = append(pushers, Pusher{
			AppID: row.AppID, PushKey: row.PushKey, Kind: row.Kind, Data: row.Data,
			AppName: n.AppName, DeviceName: n.DeviceName, ProfileTag: n.ProfileTag, Language: n.Language,
		})
	}
	return pushers, nil
}

// SetPusher makes, changes or deletes a pusher of a user, who asks for it from
// a device, as body says.
//
// Errors for clients: missing parameter, invalid parameter, bad JSON.
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset
func (s *Service) SetPusher(ctx context.Context, user event.UserID, device string, body json.RawMessage) error {
	canonical, err := event.Canonical(body, false)
	if err != nil {
		return matrixerr.BadJSON("the pusher cannot be stored: " + err.Error())
	}
	o, _ := event.ParseObject(canonical)
	r := &pusherReader{object: o}
	p := Pusher{AppID: r.text("app_id", true), PushKey: r.text("pushkey", true), device: device}
	kind, given := o.Get("kind")
	if !given {
		r.fail(matrixerr.MissingParam("kind"))
	}
	if r.err == nil && string(kind) == "null" {
		if err := s.store.DeletePusher(ctx, string(user), p.AppID, p.PushKey); err != nil {
			return fmt.Errorf("delete pusher: %w", err)
		}
		return nil
	}
	r.read(&p)
	if r.err == nil {
		r.fail(s.checkPusher(&p))
	}
	if r.err != nil {
		return r.err
	}
	return s.storePusher(ctx, user, &p, r.flag("append"))
}

func (s *Service) storePusher(ctx context.Context, user event.UserID, p *Pusher, othersStay bool) error {
	names, err := json.Marshal(pusherNames{p.AppName, p.DeviceName, p.ProfileTag, p.Language})
	if err != nil {
		return fmt.Errorf("encode pusher: %w", err)
	}
	err = s.store.SetPusher(ctx, store.Pusher{
		UserID: string(user), AppID: p.AppID, PushKey: p.PushKey, DeviceID: p.device, Kind: p.Kind,
		Names: names, Data: p.Data, URL: p.url, ChangedTS: s.now().UnixMilli(),
	}, othersStay, maxPushers)
	if errors.Is(err, store.ErrTooMany) {
		return matrixerr.InvalidParam("you have as many pushers as one may have")
	}
	if err != nil {
		return fmt.Errorf("store pusher: %w", err)
	}
	return nil
}

// pusherReader reads a request and remembers the first thing that is wrong.
type pusherReader struct {
	object event.Object
	err    error
}

func (r *pusherReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// text returns a member that has to be text.
func (r *pusherReader) text(name string, required bool) string {
	raw, given := r.object.Get(name)
	if !given {
		if required {
			r.fail(matrixerr.MissingParam(name))
		}
		return ""
	}
	text, ok := event.StringValue(raw)
	if !ok {
		r.fail(matrixerr.BadJSON(name + " is no string"))
	}
	return text
}

// flag returns a member that is true if it is.
func (r *pusherReader) flag(name string) bool {
	raw, _ := r.object.Get(name)
	return string(raw) == "true"
}

// read reads what pushers that are not deleted have.
func (r *pusherReader) read(p *Pusher) {
	p.Kind = r.text("kind", true)
	p.AppName, p.DeviceName = r.text("app_display_name", true), r.text("device_display_name", true)
	p.ProfileTag, p.Language = r.text("profile_tag", false), r.text("lang", true)
	raw, given := r.object.Get("data")
	if !given {
		r.fail(matrixerr.MissingParam("data"))
		return
	}
	data, ok := event.ParseObject(raw)
	if !ok {
		r.fail(matrixerr.BadJSON("data is no object"))
		return
	}
	p.Data = raw
	if p.Kind != kindHTTP {
		return
	}
	if p.url, ok = data.String("url"); !ok {
		r.fail(matrixerr.MissingParam("data.url"))
	}
}

func (s *Service) checkPusher(p *Pusher) error {
	switch {
	case p.Kind != kindHTTP:
		return matrixerr.InvalidParam("kind is http or null")
	case p.AppID == "" || len([]rune(p.AppID)) > maxAppID:
		return matrixerr.InvalidParam("app_id has 1 to 64 characters")
	case p.PushKey == "" || len(p.PushKey) > maxPushKey:
		return matrixerr.InvalidParam("pushkey has 1 to 512 bytes")
	case len(p.Data) > maxPusherData:
		return matrixerr.InvalidParam("data is larger than 8192 bytes")
	}
	for _, name := range []string{p.AppName, p.DeviceName, p.ProfileTag, p.Language} {
		if len(name) > maxPusherName {
			return matrixerr.InvalidParam("a name of the pusher is longer than 255 bytes")
		}
	}
	u, err := url.Parse(p.url)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != notifyPath || strings.Contains(p.url, "#") {
		return matrixerr.InvalidParam("data.url is no https URL with the path " + notifyPath)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := s.outbound.CheckAddress(a); err != nil {
			return matrixerr.InvalidParam("data.url is not an address of the internet")
		}
	}
	return nil
}
