// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

func TestH31OldTransactionIDsAreForgotten(t *testing.T) {
	var now atomic.Int64
	o := homeservertest.Options{Now: func() time.Time { return time.UnixMilli(now.Load()) }}
	homeservertest.Each(t, o, func(t *testing.T, s *homeservertest.Server) {
		now.Store(1_700_000_000_000)
		later := func(d time.Duration) { now.Add(d.Milliseconds()) }
		alice := s.Register("alice")
		send := func(txn string) {
			alice.Put(client+"/sendToDevice/org.example/"+txn, object{"messages": object{alice.UserID: object{"*": object{"txn": txn}}}}).OK()
		}
		since := alice.Get(client + "/sync").OK().String("next_batch")
		// received returns the transactions whose messages have arrived since the last time.
		received := func() (txns []string) {
			t.Helper()
			answer := alice.Get(client + "/sync?since=" + since).OK()
			since = answer.String("next_batch")
			events, _ := answer.Value("to_device", "events").([]any)
			for _, e := range events {
				txns = append(txns, e.(object)["content"].(object)["txn"].(string))
			}
			return txns
		}
		send("old")
		later(23 * time.Hour)
		send("young")
		send("old")
		if got := received(); len(got) != 2 {
			t.Fatalf("received %v, want each once", got)
		}
		later(2 * time.Hour)
		s.Restart() // it looks for old ones when it starts
		deadline := time.Now().Add(time.Minute)
		for {
			send("old")
			if got := received(); len(got) == 1 && got[0] == "old" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("a request of 25 hours ago is still known")
			}
		}
		send("young")
		if got := received(); len(got) > 0 {
			t.Errorf("a request of two hours ago was carried out again: %v", got)
		}
	})
}
