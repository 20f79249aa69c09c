// SPDX-License-Identifier: Apache-2.0

package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/stream/filter"
)

func TestParseRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"what is not JSON":          `{"room":`,
		"nothing":                   ``,
		"null":                      `null`,
		"a list":                    `[]`,
		"a limit that is text":      `{"room":{"timeline":{"limit":"x"}}}`,
		"a limit with a fraction":   `{"room":{"timeline":{"limit":1.5}}}`,
		"a negative limit":          `{"room":{"timeline":{"limit":-1}}}`,
		"types that are no list":    `{"room":{"state":{"types":"m.room.name"}}}`,
		"a room filter that is not": `{"room":5}`,
		"an unknown event format":   `{"event_format":"yaml"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := filter.Parse([]byte(raw)); !errors.Is(err, filter.ErrInvalid) {
				t.Errorf("Parse(%s) = %v, want ErrInvalid", raw, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for raw, want := range map[string]int{
		`{}`:                                filter.DefaultLimit,
		`{"room":{"timeline":{"limit":3}}}`: 3,
		`{"room":{"timeline":{"limit":0}}}`: 0,
		`{"room":{"timeline":{"limit":1099511627776}}}`: filter.MaxLimit,
		`{"room":{"timeline":{"limit":null}}}`:          filter.DefaultLimit,
	} {
		f, err := filter.Parse([]byte(raw))
		if err != nil || f.Room.Timeline.Max() != want {
			t.Errorf("Parse(%s): limit %v, %v, want %d", raw, f.Room.Timeline.Max(), err, want)
		}
	}
}

func TestWhatPasses(t *testing.T) {
	for _, c := range []struct {
		name, filter, typ, sender, room string
		url, want                       bool
	}{
		{"everything without conditions", `{}`, "m.a", "@a:x", "!r:x", false, true},
		{"a type that is listed", `{"types":["m.b","m.a"]}`, "m.a", "@a:x", "!r:x", false, true},
		{"not a type that is not listed", `{"types":["m.b"]}`, "m.a", "@a:x", "!r:x", false, false},
		{"nothing for an empty list of types", `{"types":[]}`, "m.a", "@a:x", "!r:x", false, false},
		{"a type by a star at the end", `{"types":["m.room.*"]}`, "m.room.name", "@a:x", "!r:x", false, true},
		{"a type by a star in the middle", `{"types":["m.*.name"]}`, "m.room.name", "@a:x", "!r:x", false, true},
		{"not more than the pattern says", `{"types":["m.*.name"]}`, "m.room.names", "@a:x", "!r:x", false, false},
		{"not a type excluded by a star", `{"types":["*"],"not_types":["m.room.*"]}`, "m.room.name", "@a:x", "!r:x", false, false},
		{"a listed sender", `{"senders":["@a:x"]}`, "m.a", "@a:x", "!r:x", false, true},
		{"not an excluded sender, even if listed", `{"senders":["@a:x"],"not_senders":["@a:x"]}`, "m.a", "@a:x", "!r:x", false, false},
		{"not another room", `{"rooms":["!s:x"]}`, "m.a", "@a:x", "!r:x", false, false},
		{"not an excluded room, even if listed", `{"rooms":["!r:x"],"not_rooms":["!r:x"]}`, "m.a", "@a:x", "!r:x", false, false},
		{"an event with a url when one is wanted", `{"contains_url":true}`, "m.a", "@a:x", "!r:x", true, true},
		{"not one without", `{"contains_url":true}`, "m.a", "@a:x", "!r:x", false, false},
		{"not one with a url when none is wanted", `{"contains_url":false}`, "m.a", "@a:x", "!r:x", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := filter.ParseRoomEvents([]byte(c.filter))
			if err != nil {
				t.Fatal(err)
			}
			got := f.Matches(c.typ, c.sender) && f.MatchesRoom(c.room) && f.MatchesURL(c.url)
			if got != c.want {
				t.Errorf("passes = %v, want %v", got, c.want)
			}
		})
	}
}

func TestGlobIsNotMisledByManyStars(t *testing.T) {
	if filter.Glob(strings.Repeat("*a", 200)+"*b", strings.Repeat("a", 64<<10)) {
		t.Error("matched a text without b")
	}
	if !filter.Glob("*a*a*b", "aab") || !filter.Glob("**", "") || filter.Glob("", "a") || !filter.Glob("a*", "a") {
		t.Error("wrong match")
	}
}

func TestFieldsKeepWhatTheyName(t *testing.T) {
	raw := `{"content":{"body":"b","m.relates_to":{"rel_type":"x","event_id":"$1"},"n":{"a":1}},"sender":"@a:x","type":"m"}`
	for _, c := range []struct {
		name string
		path []string
		want string
	}{
		{"nothing for no path", []string{}, `{}`},
		{"a member", []string{"sender"}, `{"sender":"@a:x"}`},
		{"a member below another", []string{"content.body", "type"}, `{"content":{"body":"b"},"type":"m"}`},
		{"a name with an escaped dot", []string{`content.m\.relates_to.rel_type`}, `{"content":{"m.relates_to":{"rel_type":"x"}}}`},
		{"all below a member", []string{"content.n"}, `{"content":{"n":{"a":1}}}`},
		{"nothing below what is no object", []string{"sender.x", "type"}, `{"type":"m"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(filter.NewFields(c.path).Append(nil, []byte(raw))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	if got := string(filter.NewFields(nil).Append(nil, []byte(raw))); got != raw {
		t.Errorf("no paths changed the event: %s", got)
	}
}
