// SPDX-License-Identifier: Apache-2.0

package filter_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

// FuzzFilter checks that whatever a client puts up as a filter is refused as
// such or can be asked about any event, and that the answers stay the same
// when the filter is stored and read again.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, `{"room":{"timeline":{"limit":10,"types":["m.*"],"not_senders":["@a:b"],"contains_url":true}}}`,
		`{"event_fields":["content.body","content.a\\.b","\\"],"event_format":"federation"}`, `{"room":{"rooms":[],"state":{"lazy_load_members":true}}}`,
		`{"presence":{"types":["*a*a*b"]},"account_data":{"limit":0}}`,
	} {
		f.Add([]byte(seed), "m.room.message", "@a:b")
	}
	f.Fuzz(func(t *testing.T, raw []byte, typ, sender string) {
		first, err := filter.Parse(raw)
		if err != nil {
			if !errors.Is(err, filter.ErrInvalid) {
				t.Fatalf("Parse: %v, want ErrInvalid", err)
			}
			return
		}
		stored, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := filter.Parse(stored)
		if err != nil {
			t.Fatalf("%s was taken, and stored as %s, which is refused: %v", raw, stored, err)
		}
		if a, b := answers(first, typ, sender), answers(second, typ, sender); a != b {
			t.Fatalf("%s answers %v, stored as %s it answers %v", raw, a, stored, b)
		}
	})
}

// decisions are a filter's decisions about one event.
type decisions [5]bool

func answers(f *filter.Filter, typ, sender string) decisions {
	timeline := &f.Room.Timeline
	if limit := timeline.Max(); limit < 0 || limit > filter.MaxLimit {
		panic("the limit is out of bounds")
	}
	filter.NewFields(f.EventFields).Append(nil, []byte(`{"content":{"body":"x","a.b":1},"type":"m.room.message"}`))
	return decisions{
		timeline.Matches(typ, sender), timeline.MatchesRoom(sender), timeline.MatchesURL(true), f.Room.MatchesRoom(sender), f.Presence.MatchesType(typ),
	}
}
