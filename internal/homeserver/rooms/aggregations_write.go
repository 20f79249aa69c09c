// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"strconv"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// shownRelations is what a viewer is shown of what points at an event.
type shownRelations struct {
	parent     *StoredEvent
	references []store.Child
	// edit and latest are 0 for none.
	edit, latest int64
	count        int64
	participated bool
}

// show selects what the viewer wants to see and what the rules of each type
// allow; nil if nothing is left.
func (b *bundler) show(parent *StoredEvent, a *aggregate) *shownRelations {
	sh := &shownRelations{parent: parent}
	own, related := relationIn(parent.Content())
	if parent.RedactedByNID == 0 && !(related && own.relType == relReplace) && !b.ignores(string(parent.Sender())) {
		sh.edit = a.edit
	}
	for _, c := range a.references {
		if !b.ignores(c.Sender) {
			sh.references = append(sh.references, c)
		}
	}
	if !related { // else the thread would be inside another one
		b.showThread(sh, a.threads)
	}
	if sh.edit == 0 && sh.count == 0 && len(sh.references) == 0 {
		return nil
	}
	return sh
}

func (b *bundler) ignores(sender string) bool {
	_, yes := b.ignored[event.UserID(sender)]
	return yes
}

func (b *bundler) showThread(sh *shownRelations, threads []store.Child) {
	user := string(b.viewer.UserID)
	sh.participated = string(sh.parent.Sender()) == user
	var last int64
	for i, c := range threads {
		if b.ignores(c.Sender) {
			continue
		}
		sh.count += c.Count
		sh.participated = sh.participated || c.Sender == user
		if sh.latest == 0 || c.StreamPos > last {
			sh.latest, last = threads[i].NID, c.StreamPos
		}
	}
}

// write makes the bundles.
func (b *bundler) write(ctx context.Context, shown []*shownRelations) error {
	children, err := b.children(ctx, shown)
	if err != nil {
		return err
	}
	for _, sh := range shown {
		if bundle := sh.append(nil, children); len(bundle) > len("{}") {
			b.bundles[sh.parent.NID] = bundle
		}
	}
	return nil
}

// children returns the replacements and the last events of threads, by nid, in
// the client format.
func (b *bundler) children(ctx context.Context, shown []*shownRelations) (map[int64][]byte, error) {
	var nids []int64
	last := map[int64]bool{}
	for _, sh := range shown {
		if sh.edit != 0 {
			nids = append(nids, sh.edit)
		}
		if sh.latest != 0 {
			nids = append(nids, sh.latest)
			last[sh.latest] = true
		}
	}
	if len(nids) == 0 {
		return nil, nil
	}
	s := b.service
	events, err := s.EventsByNID(ctx, nids)
	if err != nil {
		return nil, err
	}
	memberships, err := s.MembershipsAt(ctx, b.viewer.UserID, events)
	if err != nil {
		return nil, err
	}
	var latest []*StoredEvent
	for _, ev := range events {
		if last[ev.NID] {
			latest = append(latest, ev)
		}
	}
	// These relate to the first event of their thread, so that none begins
	// another thread, and it ends here.
	bundles, err := s.Bundle(ctx, b.viewer, latest)
	if err != nil {
		return nil, err
	}
	children := make(map[int64][]byte, len(events))
	for i, ev := range events {
		if ev.RedactedByNID != 0 {
			continue // since the aggregate was read
		}
		v := b.viewer
		v.Membership, v.Relations = memberships[i], bundles[ev.NID]
		children[ev.NID] = s.ClientEvent(nil, ev, v)
	}
	return children, nil
}

// append appends the m.relations object to dst.
func (sh *shownRelations) append(dst []byte, children map[int64][]byte) []byte {
	dst = append(dst, '{')
	if len(sh.references) > 0 {
		dst = append(dst, `"m.reference":{"chunk":[`...)
		for i, c := range sh.references {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(event.AppendString(append(dst, `{"event_id":`...), c.EventID), '}')
		}
		dst = append(dst, "]}"...)
	}
	if edit := children[sh.edit]; edit != nil {
		dst = append(append(comma(dst), `"m.replace":`...), edit...)
	}
	if latest := children[sh.latest]; latest != nil {
		dst = strconv.AppendInt(append(comma(dst), `"m.thread":{"count":`...), sh.count, 10)
		dst = strconv.AppendBool(append(dst, `,"current_user_participated":`...), sh.participated)
		dst = append(append(append(dst, `,"latest_event":`...), latest...), '}')
	}
	return append(dst, '}')
}

// comma ends the member before, if there is one.
func comma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return dst
	}
	return append(dst, ',')
}
