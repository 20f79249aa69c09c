// SPDX-License-Identifier: Apache-2.0

package clientapi_test

// historyModel knows what a room's events mean for one viewer, by its own
// reading of the specification and from nothing but the list of events:
//
//   - Of a room one can read what happened while one was in it and, as far as
//     its history allows, what happened before one last left it; or, while the
//     room is world-readable, what was world-readable when it happened.
//   - Who forgot a room stands as if never there.
//   - Whoever may read the room sees all of their own comings and goings, and a
//     change of the visibility if they see the events before it or after it.
//
// https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility
type historyModel struct {
	events []clientEvent // all of the room, oldest first
	viewer string
	// forgot: the viewer forgot the room, and nothing became of their membership since.
	forgot bool
}

// visibilityOf is what an m.room.history_visibility event says.
func visibilityOf(ev clientEvent) string {
	value, _ := ev.Content["history_visibility"].(string)
	return value
}

func (m *historyModel) isOwn(ev clientEvent) bool {
	return ev.Type == "m.room.member" && ev.StateKey != nil && *ev.StateKey == m.viewer
}

// now is how the room stands: whether the viewer is in it, which event ended
// the last membership (-1: there was none), and the visibility.
func (m *historyModel) now() (joined bool, left int, visibility string) {
	left, visibility = -1, "shared"
	for i, ev := range m.events {
		switch {
		case ev.Type == "m.room.history_visibility":
			visibility = visibilityOf(ev)
		case m.isOwn(ev):
			is := ev.Content["membership"] == "join"
			if joined && !is {
				left = i
			}
			joined = is
		}
	}
	return joined, left, visibility
}

// visible lists the ids that the viewer may see.
func (m *historyModel) visible() map[string]bool {
	joined, left, open := m.now()
	seen := map[string]bool{}
	visibility, membership := "shared", "leave"
	for i, ev := range m.events {
		was := joined || i <= left && !m.forgot
		may := func(visibility string) bool {
			switch {
			case visibility == "world_readable":
				return was || open == "world_readable"
			case !was:
				return false
			case membership == "join", visibility == "shared":
				return true
			default:
				return visibility == "invited" && membership == "invite"
			}
		}
		ok := may(visibility)
		switch {
		case ev.Type == "m.room.history_visibility":
			visibility = visibilityOf(ev)
			ok = ok || may(visibility)
		case m.isOwn(ev):
			membership, _ = ev.Content["membership"].(string)
			ok = ok || was || !m.forgot && (left >= 0 || open == "world_readable")
		}
		if ok {
			seen[ev.EventID] = true
		}
	}
	return seen
}

// state is the state that the viewer may read, by type and key; nil if none.
// upTo, if not negative, is the last event that counts.
func (m *historyModel) state(upTo int) map[[2]string]string {
	joined, left, open := m.now()
	last := len(m.events) - 1
	switch {
	case joined || open == "world_readable":
	case left < 0 || m.forgot:
		return nil
	default:
		last = left
	}
	if upTo >= 0 {
		last = min(last, upTo)
	}
	state := map[[2]string]string{}
	for _, ev := range m.events[:last+1] {
		if ev.StateKey != nil {
			state[[2]string{ev.Type, *ev.StateKey}] = ev.EventID
		}
	}
	return state
}
