// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonicalJSON(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"an empty object stays", "{}", "{}"},
		{"white space goes", "{ \"one\" : 1,\n\t\"two\":\r \"Two\" }", `{"one":1,"two":"Two"}`},
		{"members are sorted", `{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`},
		{
			"nested objects are sorted", `{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}`,
			`{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}`,
		},
		{"other scripts are not escaped", `{"a":"日本語"}`, `{"a":"日本語"}`},
		{"keys are sorted by code point", `{"本":2,"日":1}`, `{"日":1,"本":2}`},
		{"needless escapes go", `{"a":"\u65E5\/\u0041"}`, `{"a":"日/A"}`},
		{"null stays", `{"a":null}`, `{"a":null}`},
		{"keys outside the BMP sort after those inside", `{"\ud83d\ude00":1,"\uffff":2}`, "{\"\uffff\":2,\"😀\":1}"},
		{"an escaped key is sorted by what it means", `{"\u005c":1,"A":2,"a":3,"\n":4,"\u0000":5}`, `{"\u0000":5,"\n":4,"A":2,"\\":1,"a":3}`},
		{"a key before its own extension", `{"ab":1,"a":2,"a\n":3,"":4}`, `{"":4,"a":2,"a\n":3,"ab":1}`},
		{"of a doubled key the last counts", `{"a":1,"b":2,"a":3,"a":4}`, `{"a":4,"b":2}`},
		{"keys equal after unescaping are doubled", `{"a":1,"\u0061":2}`, `{"a":2}`},
		{"keys that differ in case are different", `{"b":1,"B":2,"ſ":3,"s":4}`, `{"B":2,"b":1,"s":4,"ſ":3}`},
		{"control characters have the shortest escape", `"\u0008\u0009\u000a\u000c\u000d\u001F\u0000\u0022\u005c\u007f"`, `"\b\t\n\f\r\u001f\u0000\"\\` + "\x7f" + `"`},
		{"surrogate pairs become one character", `"\ud83d\ude00\uD83D\uDE00"`, `"😀😀"`},
		{"the greatest integers stay", `[9007199254740991,-9007199254740991,0]`, `[9007199254740991,-9007199254740991,0]`},
		{"an empty array stays", ` [ ] `, `[]`},
		{"an empty object with space stays", ` { } `, `{}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, strict := range []bool{true, false} {
				got, err := Canonical([]byte(test.in), strict)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			}
		})
	}
}

func TestNumbersOfOldRoomVersions(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"the specification's example", `{"a":-0,"b":1e10}`, `{"a":0,"b":10000000000}`},
		{"fractions stay as written", `[1.5,1.0,-0.5,0.10]`, `[1.5,1.0,-0.5,0.10]`},
		{"large integers stay as written", `[9007199254740992,123456789012345678901234567890]`, `[9007199254740992,123456789012345678901234567890]`},
		{"exponents of no integer stay as written", `[1e-7,1e+22,1E400,1.5e0]`, `[1e-7,1e+22,1E400,1.5e0]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Canonical([]byte(test.in), false)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	tests := []struct{ name, in string }{
		{"nothing", ``},
		{"only space", ` `},
		{"an open object", `{`},
		{"an open array", `[1`},
		{"an open string", `"a`},
		{"a comma too many in an object", `{"a":1,}`},
		{"a comma too many in an array", `[1,]`},
		{"a missing comma", `[1 2]`},
		{"a missing colon", `{"a" 1}`},
		{"a missing value", `{"a":}`},
		{"a key without quotes", `{a:1}`},
		{"a number as key", `{1:1}`},
		{"text after the value", `{} {}`},
		{"a wrong word", `trve`},
		{"a word cut short", `nul`},
		{"NaN", `NaN`},
		{"Infinity", `-Infinity`},
		{"leading zeros", `[01]`},
		{"a plus sign", `[+1]`},
		{"a lone minus", `[-]`},
		{"a point without digits", `[1.]`},
		{"an exponent without digits", `[1e]`},
		{"a raw newline in a string", "\"\n\""},
		{"a raw NUL in a string", "\"\x00\""},
		{"an unknown escape", `"\x41"`},
		{"a short escape", `"\u12"`},
		{"an escape at the end", `"\`},
		{"hex that is none", `"\u12g4"`},
		{"invalid UTF-8", "\"\xff\""},
		{"overlong UTF-8", "\"\xc0\x80\""},
		{"an encoded surrogate", "\"\xed\xa0\x80\""},
		{"cut UTF-8 in a key", "{\"\xe6\x97\":1}"},
		{"a byte order mark", "\ufeff{}"},
		{"a comment", `{/**/}`},
		{"single quotes", `{'a':1}`},
		{"the wrong bracket", `[1}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, strict := range []bool{true, false} {
				if got, err := Canonical([]byte(test.in), strict); !errors.Is(err, ErrBadJSON) {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
}

// H3: nested arrays by the thousand are refused before they cost anything.
func TestH3DeepNestingIsRefused(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		if _, err := Canonical([]byte(strings.Repeat(open, 30000)), true); !errors.Is(err, ErrBadJSON) {
			t.Errorf("30,000 times %s: %v", open, err)
		}
	}
	allowed := strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting)
	if _, err := Canonical([]byte(allowed), true); err != nil {
		t.Errorf("nesting of %d: %v", maxNesting, err)
	}
}

// H41: numbers that canonical JSON does not have are bad JSON.
func TestH41NumbersBeyondCanonicalJSONAreRefused(t *testing.T) {
	for _, number := range []string{"1.5", "1.0", "1e3", "1E3", "0e0", "-0", "-0.0", "9007199254740992", "-9007199254740992", "1e400", strings.Repeat("9", 5000)} {
		content := []byte(`{"n":[` + number + `]}`)
		if _, err := Canonical(content, true); !errors.Is(err, ErrBadJSON) {
			t.Errorf("canonical JSON with %.20s: %v", number, err)
		}
		for _, v := range SupportedVersions() {
			d := draft(t, v)
			d.Content = content
			if _, err := rules(t, v).Build(d, specSigner(t)); !errors.Is(err, ErrBadJSON) {
				t.Errorf("an event of version %s with %.20s: %v", v, number, err)
			}
		}
	}
}

// H44: U+0000 is kept, a lone surrogate is bad JSON.
func TestH44NULIsKeptAndLoneSurrogatesAreRefused(t *testing.T) {
	for _, v := range SupportedVersions() {
		d := draft(t, v)
		d.Content = []byte(`{"body":"a\u0000b"}`)
		e, err := rules(t, v).Build(d, specSigner(t))
		if err != nil {
			t.Fatal(err)
		}
		o, _ := ParseObject(e.Content())
		if body, _ := o.String("body"); body != "a\x00b" {
			t.Errorf("version %s: body is %q", v, body)
		}
		for _, bad := range []string{`{"body":"\ud800"}`, `{"body":"\ud800x"}`, `{"body":"\udc00\ud800"}`, `{"body":"\ud800\u0041"}`, `{"\udfff":1}`} {
			d.Content = []byte(bad)
			if _, err := rules(t, v).Build(d, specSigner(t)); !errors.Is(err, ErrBadJSON) {
				t.Errorf("version %s, %s: %v", v, bad, err)
			}
		}
	}
}

func TestObjectReadsExactKeys(t *testing.T) {
	raw, err := Canonical([]byte(`{"a":"x","A":"y","n":-5,"f":1.5,"s":"q\"\u0000\n","t":true,"u":false,"o":{"in":"ner"},"l":[1,[2],{"a":"]"},"],"],"\n":"nl","e":"","z":null}`), false)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := ParseObject(raw)
	if !ok {
		t.Fatal("no object")
	}
	for key, want := range map[string]string{"a": "x", "A": "y", "s": "q\"\x00\n", "\n": "nl", "e": ""} {
		if got, ok := o.String(key); !ok || got != want {
			t.Errorf("%q is %q, %v; want %q", key, got, ok, want)
		}
	}
	if _, ok := o.String("ſ"); ok {
		t.Error("found a key by folding its case")
	}
	if _, ok := o.String("n"); ok {
		t.Error("a number is read as a string")
	}
	if n, ok := o.Int("n"); !ok || n != -5 {
		t.Errorf("n is %d, %v", n, ok)
	}
	for _, key := range []string{"f", "a", "z", "absent"} {
		if n, ok := o.Int(key); ok {
			t.Errorf("%s is read as the integer %d", key, n)
		}
	}
	if v, ok := o.Bool("t"); !v || !ok {
		t.Error("true is not true")
	}
	if v, ok := o.Bool("u"); v || !ok {
		t.Error("false is not false")
	}
	if _, ok := o.Bool("n"); ok {
		t.Error("a number is read as a boolean")
	}
	inner, ok := o.Object("o")
	if s, _ := inner.String("in"); !ok || s != "ner" {
		t.Errorf("inner object: %q", s)
	}
	list, _ := o.Get("l")
	var elements []string
	if !EachElement(list, func(v []byte) bool { elements = append(elements, string(v)); return true }) {
		t.Error("no array")
	}
	if got := strings.Join(elements, " "); got != `1 [2] {"a":"]"} "],"` {
		t.Errorf("elements %s", got)
	}
	var keys []string
	o.Each(func(k string, _ []byte) bool { keys = append(keys, k); return k != "n" })
	if got := strings.Join(keys, " "); got != "\n A a e f l n" {
		t.Errorf("keys %q", got)
	}
}

func TestReadingValuesDoesNotAllocate(t *testing.T) {
	o, _ := ParseObject([]byte(`{"a":"x","membership":"join","n":12}`))
	if n := testing.AllocsPerRun(100, func() {
		s, _ := o.String("membership")
		i, _ := o.Int("n")
		if s != "join" || i != 12 {
			t.Error("wrong values")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSetMember(t *testing.T) {
	tests := []struct{ name, obj, key, want string }{
		{"into an empty object", `{}`, "b", `{"b":9}`},
		{"before all", `{"c":1,"d":2}`, "b", `{"b":9,"c":1,"d":2}`},
		{"between", `{"a":1,"c":2}`, "b", `{"a":1,"b":9,"c":2}`},
		{"after all", `{"a":1}`, "b", `{"a":1,"b":9}`},
		{"in place of the first", `{"b":1,"c":2}`, "b", `{"b":9,"c":2}`},
		{"in place of the last", `{"a":1,"b":{"x":1}}`, "b", `{"a":1,"b":9}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := setMember([]byte(test.obj), test.key, []byte("9")); string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestAppendStringIsCanonical(t *testing.T) {
	for _, s := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "日本語😀", "\ufffd", "a\ufffdb"} {
		got := AppendString(nil, s)
		canonical, err := Canonical(got, true)
		if err != nil || !bytes.Equal(got, canonical) {
			t.Errorf("%q became %s, canonical %s, %v", s, got, canonical, err)
		}
		if back, ok := StringValue(got); !ok || back != s {
			t.Errorf("%q came back as %q", s, back)
		}
	}
	if got := string(AppendString(nil, "a\xffb\xc0")); got != "\"a\ufffdb\ufffd\"" {
		t.Errorf("invalid UTF-8 became %q", got)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"b":[1,2.5,-0,1e3,"\u0000\ud83d\ude00"],"a":{"z":null,"y":true}}`, `{"a":1,"a":2}`, `"\ud800"`, `[[[[[[]]]]]]`, "{\"\xff\":1}",
		`{"\"":1,"\\":2,"\n":3}`, ` [ 1 , { } ] `, `-`, `1e`, `{"a":`, `["\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, _ := ParseObject(raw) // whatever it is, reading it must not panic
		o.Each(func(string, []byte) bool { return true })
		EachElement(raw, func([]byte) bool { return true })
		for _, strict := range []bool{true, false} {
			canonical, err := Canonical(raw, strict)
			if err != nil {
				if !errors.Is(err, ErrBadJSON) {
					t.Fatalf("error of another kind: %v", err)
				}
				continue
			}
			if !json.Valid(raw) || !json.Valid(canonical) || !utf8.Valid(canonical) {
				t.Fatalf("%q became %q", raw, canonical)
			}
			again, err := Canonical(canonical, strict)
			if err != nil || !bytes.Equal(again, canonical) {
				t.Fatalf("not stable: %q, then %q, %v", canonical, again, err)
			}
		}
	})
}
