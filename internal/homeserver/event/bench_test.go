// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"testing"
	"time"
)

// benchmarkDraft is a message of the usual size in a version 12 room.
func benchmarkDraft(b *testing.B) (*Rules, Draft, Signer) {
	b.Helper()
	d := draft(b, "12")
	d.Content = []byte(`{"msgtype":"m.text","body":"The quick brown fox jumps over the lazy dog, twice.","m.mentions":{},"m.relates_to":{"rel_type":"m.thread","event_id":"$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}`)
	const id = "$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	d.PrevEvents, d.AuthEvents = []Reference{{ID: id}}, []Reference{{ID: id}, {ID: id}, {ID: id}}
	return rules(b, "12"), d, specSigner(b)
}

func BenchmarkBuild(b *testing.B) {
	r, d, s := benchmarkDraft(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Build(d, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	_, _, s := benchmarkDraft(b)
	message := make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		ed25519.Sign(s.PrivateKey, message)
	}
}

// BenchmarkBuildToSignRatio reports how many signatures one event costs, both
// measured in turn under the same load: the budget is 3.
func BenchmarkBuildToSignRatio(b *testing.B) {
	r, d, s := benchmarkDraft(b)
	message := make([]byte, 500)
	var building, signing time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := r.Build(d, s); err != nil {
			b.Fatal(err)
		}
		built := time.Now()
		ed25519.Sign(s.PrivateKey, message)
		building, signing = building+built.Sub(start), signing+time.Since(built)
	}
	b.ReportMetric(float64(building)/float64(signing), "build/sign")
}

func benchmarkEvent(b *testing.B) *Event {
	b.Helper()
	r, d, s := benchmarkDraft(b)
	e, err := r.Build(d, s)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func BenchmarkParse(b *testing.B) {
	e := benchmarkEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Rules().Parse(e.JSON()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	e := benchmarkEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Rules().Load(e.ID(), e.JSON()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendClient(b *testing.B) {
	e := benchmarkEvent(b)
	view := ClientView{Unsigned: []byte(`{"age":12}`), OmitRoomID: true}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = e.AppendClient(dst[:0], view)
	}
}

func BenchmarkCanonical(b *testing.B) {
	raw := []byte(`{"type":"m.room.member","state_key":"@u:domain","content":{"membership":"join","displayname":"Anne-Zoé","avatar_url":"mxc://domain/aaaaaaaaaaaaaaaaaaaaaaaa"},"depth":12,"auth_events":["$a","$b"],"sender":"@u:domain"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Canonical(raw, true); err != nil {
			b.Fatal(err)
		}
	}
}
