// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"strconv"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// The kinds of conditions.
//
// https://spec.matrix.org/v1.19/client-server-api/#conditions-1
const (
	conditionMatch            = "event_match"
	conditionPropertyIs       = "event_property_is"
	conditionPropertyContains = "event_property_contains"
	conditionDisplayName      = "contains_display_name"
	conditionMemberCount      = "room_member_count"
	conditionMayNotify        = "sender_notification_permission"
)

// room is what conditions ask about the room of an event.
type room interface {
	// MemberCount is how many users are joined.
	MemberCount(ctx context.Context) (int, error)
	// MayNotify reports whether the sender's power level allows a notification such as "room".
	MayNotify(ctx context.Context, key string) (bool, error)
	// DisplayName is what a user is called in the room; "" for no name.
	DisplayName(ctx context.Context, user event.UserID) (string, error)
}

// subject is an event that rules are applied to.
type subject struct {
	*event.Event
	room room
	// lowered are texts of the event in lower case, by path, for all users' patterns.
	lowered map[string]*string
}

func newSubject(ev *event.Event, r room) *subject {
	return &subject{Event: ev, room: r, lowered: map[string]*string{}}
}

// path names a property of an event.
type path struct {
	text  string
	names []string
}

// newPath splits at dots; \. and \\ stand for a dot and a backslash within a
// name, any other backslash for itself.
//
// https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
func newPath(s string) path {
	p := path{text: s}
	var name []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '.' || s[i+1] == '\\'):
			i++
			name = append(name, s[i])
		case s[i] == '.':
			p.names, name = append(p.names, string(name)), nil
		default:
			name = append(name, s[i])
		}
	}
	p.names = append(p.names, string(name))
	return p
}

// value returns the JSON of a property; false if the event has none.
func (s *subject) value(p path) ([]byte, bool) {
	switch p.text {
	case "room_id":
		return event.AppendString(nil, string(s.RoomID())), true
	case "event_id":
		return event.AppendString(nil, string(s.ID())), true
	}
	object, _ := event.ParseObject(s.JSON())
	for _, name := range p.names[:len(p.names)-1] {
		object, _ = object.Object(name)
	}
	return object.Get(p.names[len(p.names)-1])
}

// lower returns a property that is a string in lower case; nil if it is none.
func (s *subject) lower(p path) *string {
	if known, ok := s.lowered[p.text]; ok {
		return known
	}
	var found *string
	raw, _ := s.value(p)
	if value, ok := event.StringValue(raw); ok {
		value = strings.ToLower(value)
		found = &value
	}
	s.lowered[p.text] = found
	return found
}

// question is what a condition is put with.
type question struct {
	*subject
	user   event.UserID
	budget budget
}

// condition reports whether it holds.
type condition func(ctx context.Context, q *question) (bool, error)

// never is the condition for what this server does not know: the
// specification wants such a rule to match nothing.
func never(context.Context, *question) (bool, error) { return false, nil }

// newCondition compiles a condition, which is canonical JSON.
func newCondition(raw []byte) condition {
	c, _ := event.ParseObject(raw)
	kind, _ := c.String("kind")
	key, keyed := c.String("key")
	switch {
	case kind == conditionDisplayName:
		return containsDisplayName
	case kind == conditionMemberCount:
		is, _ := c.String("is")
		return memberCount(is)
	case !keyed:
		return never
	case kind == conditionMatch:
		pattern, ok := c.String("pattern")
		if !ok {
			return never
		}
		return match(newPath(key), newGlob(pattern))
	case kind == conditionPropertyIs:
		return propertyIs(newPath(key), c)
	case kind == conditionPropertyContains:
		return propertyContains(newPath(key), c)
	case kind == conditionMayNotify:
		return func(ctx context.Context, q *question) (bool, error) { return q.room.MayNotify(ctx, key) }
	default:
		return never
	}
}

// bodyPath is the property in which patterns match words.
const bodyPath = "content.body"

func match(p path, g *glob) condition {
	return func(_ context.Context, q *question) (bool, error) {
		value := q.lower(p)
		switch {
		case value == nil:
			return false, nil
		case p.text == bodyPath:
			return g.matchWords(*value, &q.budget), nil
		default:
			return g.matchAll(*value, &q.budget), nil
		}
	}
}

// scalar returns the value of a condition; false if it is missing or compound.
func scalar(c event.Object) (string, bool) {
	value, ok := c.Get("value")
	if !ok || value[0] == '{' || value[0] == '[' {
		return "", false
	}
	return string(value), true
}

func propertyIs(p path, c event.Object) condition {
	want, ok := scalar(c)
	if !ok {
		return never
	}
	return func(_ context.Context, q *question) (bool, error) {
		value, ok := q.value(p)
		return ok && string(value) == want, nil
	}
}

func propertyContains(p path, c event.Object) condition {
	want, ok := scalar(c)
	if !ok {
		return never
	}
	return func(_ context.Context, q *question) (bool, error) {
		list, _ := q.value(p)
		found := false
		event.EachElement(list, func(value []byte) bool {
			found = string(value) == want
			return !found
		})
		return found, nil
	}
}

// containsDisplayName looks for the user's name as a word of the body.
func containsDisplayName(ctx context.Context, q *question) (bool, error) {
	body := q.lower(newPath(bodyPath))
	if body == nil {
		return false, nil
	}
	name, err := q.room.DisplayName(ctx, q.user)
	return name != "" && containsWord(*body, strings.ToLower(name)), err
}

// memberCount compiles the "is" of a room_member_count condition.
func memberCount(is string) condition {
	digits := strings.TrimLeft(is, "<>=")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || digits[0] == '+' {
		return never
	}
	var holds func(count int) bool
	switch is[:len(is)-len(digits)] {
	case "", "==":
		holds = func(count int) bool { return count == n }
	case "<":
		holds = func(count int) bool { return count < n }
	case ">":
		holds = func(count int) bool { return count > n }
	case "<=":
		holds = func(count int) bool { return count <= n }
	case ">=":
		holds = func(count int) bool { return count >= n }
	default:
		return never
	}
	return func(ctx context.Context, q *question) (bool, error) {
		count, err := q.room.MemberCount(ctx)
		return err == nil && holds(count), err
	}
}
