// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/push"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/storetest"
)

func TestH62AUserHasTenThousandPushRulesAtMost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		storetest.Start(context.Background(), t, s)
		p := push.New(push.Options{Store: s})
		const alice = event.UserID("@alice:" + storetest.ServerName)
		put := func(id string) error {
			key := push.RuleKey{User: alice, Kind: "content", ID: id}
			return p.PutRule(t.Context(), key, push.NewRule{Body: []byte(`{"actions":[],"pattern":"x"}`)})
		}
		rows := &store.Insert{Table: "push_rules", Columns: "user_id, kind, rule_id, builtin, place, enabled, actions, conditions, pattern"}
		err := s.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
			for i := range 10_000 {
				tx.Insert(rows, string(alice), "content", []byte(strconv.Itoa(i)), 0, i, 1, []byte("[]"), []byte("[]"), []byte("x"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := put("one more"); !matrixerr.Is(err, "M_INVALID_PARAM") {
			t.Errorf("the 10,001st: %v", err)
		}
		if err := put("17"); err != nil {
			t.Errorf("one that exists: %v", err)
		}
		if err := p.DeleteRule(t.Context(), push.RuleKey{User: alice, Kind: "content", ID: "17"}); err != nil {
			t.Fatal(err)
		}
		if err := put("one more"); err != nil {
			t.Errorf("after one was deleted: %v", err)
		}
		rules, err := p.Rules(t.Context(), alice)
		if err != nil || len(rules.Content) != 10_000 || rules.Content[0].ID != "one more" {
			t.Errorf("%d rules, %v", len(rules.Content), err)
		}
	})
}
