// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/outbound"
	"github.com/foyer-matrix/foyer/internal/homeserver/rooms"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

const (
	// notifyTime is how long a push gateway may take.
	notifyTime = 30 * time.Second
	// maxAnswer is how large its answer may be, in bytes.
	maxAnswer = 64 << 10
	// firstRetry is when a pusher is tried again after it has failed once; the time
	// doubles with each failure up to lastRetry.
	firstRetry, lastRetry = time.Second, time.Hour
	// staleAfter is how old an event may be that is still told.
	staleAfter = 24 * time.Hour
)

// job is one thing that a pusher is to tell.
type job struct {
	pusher *store.Pusher
	// what is nil for the unread count alone.
	what  *unread
	badge int64
}

// job returns the next thing to do, nil if there is none now.
func (b *mailbox) job(ctx context.Context) (*job, error) {
	now := b.courier.service.now()
	for i := range b.pushers {
		p := &b.pushers[i]
		if retryAt(p).After(now) {
			continue
		}
		if what := b.oldest(p.SentPos); what != nil {
			return &job{pusher: p, what: what}, nil
		}
		if p.Badge == 0 {
			continue
		}
		n, err := b.count(ctx)
		if err != nil {
			return nil, err
		}
		if n < p.Badge { // something was read
			return &job{pusher: p, badge: n}, nil
		}
	}
	return nil, nil
}

// oldest returns the oldest event behind a position, nil if there is none.
func (b *mailbox) oldest(pos int64) *unread {
	var found *unread
	take := func(e unread) {
		if e.pos > pos && (found == nil || e.pos < found.pos) {
			found = &e
		}
	}
	for _, l := range b.content {
		if i := slices.IndexFunc(l.unsent, func(e unread) bool { return e.pos > pos }); i >= 0 {
			take(l.unsent[i])
		}
	}
	for _, e := range b.invites {
		take(e)
	}
	return found
}

func retryAt(p *store.Pusher) time.Time { return time.UnixMilli(p.RetryTS) }

// do sends what is to be sent and notes how far the pusher has come. An error
// is one of this server, not of the gateway.
func (b *mailbox) do(ctx context.Context, j *job) error {
	n := &notice{}
	if j.what != nil {
		var err error
		if n, err = b.notice(ctx, j); err != nil {
			return err
		}
		if n == nil { // the user need not hear of it
			j.pusher.SentPos = j.what.pos
			return nil
		}
	}
	var err error
	if j.badge, err = b.count(ctx); err != nil {
		return err
	}
	if err := n.address(j); err != nil {
		return err
	}
	rejected, err := b.courier.service.post(ctx, j.pusher.URL, n)
	if ctx.Err() != nil {
		return ctx.Err() // it is sent again after the restart
	}
	if err != nil {
		b.courier.service.log.Warn("push gateway failed", "user", b.user, "app", j.pusher.AppID, "failures", j.pusher.Failures+1, "error", err)
	}
	return b.conclude(ctx, j, rejected, err)
}

// conclude notes how sending went.
func (b *mailbox) conclude(ctx context.Context, j *job, rejected []string, failure error) error {
	s, p := b.courier.service, j.pusher
	switch {
	case failure != nil:
		p.Failures++
		p.RetryTS = s.now().Add(backOff(p.Failures)).UnixMilli()
	case slices.Contains(rejected, p.PushKey):
		if err := s.store.DeletePusher(ctx, p.UserID, p.AppID, p.PushKey); err != nil {
			return fmt.Errorf("delete rejected pusher: %w", err)
		}
		return b.readPushers(ctx)
	default:
		p.Failures, p.RetryTS, p.Badge = 0, 0, j.badge
		if j.what != nil {
			p.SentPos = j.what.pos
		}
	}
	if err := s.store.MovePusher(ctx, p, store.Lease{Name: leaseName, Owner: b.courier.owner}); err != nil {
		return fmt.Errorf("store how far a pusher has come: %w", err)
	}
	return nil
}

func (b *mailbox) readPushers(ctx context.Context) error {
	var err error
	if b.pushers, err = b.courier.service.store.Pushers(ctx, string(b.user)); err != nil {
		return fmt.Errorf("read pushers: %w", err)
	}
	return nil
}

func backOff(failures int64) time.Duration {
	return min(lastRetry, firstRetry<<min(failures-1, 30))
}

// notice returns what to tell of an event, nil if the user need not hear of it.
func (b *mailbox) notice(ctx context.Context, j *job) (*notice, error) {
	s := b.courier.service
	found, err := s.rooms.EventsByNID(ctx, []int64{j.what.nid})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	ev := found[0]
	if s.now().Sub(time.UnixMilli(ev.OriginServerTS())) > staleAfter {
		return nil, nil
	}
	o, err := s.outcome(ctx, b.wishes, ev)
	if err != nil || !o.notify {
		return nil, err
	}
	visible, err := s.rooms.Visible(ctx, b.user, []*rooms.StoredEvent{ev})
	if err != nil || len(visible) == 0 {
		return nil, err
	}
	return s.describe(ctx, ev, b.user, o)
}

// post tells a push gateway and returns the keys that it rejects.
//
// POST /_matrix/push/v1/notify
// https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
func (s *Service) post(ctx context.Context, url string, n *notice) ([]string, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(struct {
		Notification *notice `json:"notification"`
	}{n}); err != nil {
		return nil, fmt.Errorf("encode notification: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, &body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := s.outbound.Do(r, outbound.Limits{Time: notifyTime, Body: maxAnswer})
	if err != nil {
		return nil, err
	}
	if res.Status/100 != 2 {
		return nil, fmt.Errorf("status %d", res.Status)
	}
	return rejectedIn(res.Body), nil
}

// rejectedIn returns the keys that an answer rejects. A gateway that answers
// something else has taken the notification all the same.
func rejectedIn(answer []byte) []string {
	canonical, err := event.Canonical(answer, false)
	if err != nil {
		return nil
	}
	var keys []string
	object, _ := event.ParseObject(canonical)
	list, _ := object.Get("rejected")
	event.EachElement(list, func(raw []byte) bool {
		if key, ok := event.StringValue(raw); ok {
			keys = append(keys, key)
		}
		return true
	})
	return keys
}
