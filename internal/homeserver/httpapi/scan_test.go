// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func TestCheckJSON(t *testing.T) {
	for _, test := range []struct{ name, body, code string }{
		{"an object", ` {"a": [1, -2.5e+3, true, null, "x"], "b": {"a": 1}} `, ""},
		{"a string alone", `"x"`, ""},
		{"every escape", `"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"`, ""},
		{"NUL as an escape", `"\u0000"`, ""},
		{"nothing", ``, matrixerr.CodeNotJSON},
		{"an open brace", `{`, matrixerr.CodeNotJSON},
		{"an open string", `{"a": "b`, matrixerr.CodeNotJSON},
		{"a backslash at the end", `"a\`, matrixerr.CodeNotJSON},
		{"text after the value", `{} x`, matrixerr.CodeNotJSON},
		{"a trailing comma", `[1,]`, matrixerr.CodeNotJSON},
		{"a key without quotes", `{a: 1}`, matrixerr.CodeNotJSON},
		{"a missing colon", `{"a" 1}`, matrixerr.CodeNotJSON},
		{"a leading zero", `01`, matrixerr.CodeNotJSON},
		{"a bare minus", `-`, matrixerr.CodeNotJSON},
		{"a number without digits after the point", `1.`, matrixerr.CodeNotJSON},
		{"a number without an exponent", `1e`, matrixerr.CodeNotJSON},
		{"NaN", `NaN`, matrixerr.CodeNotJSON},
		{"a raw newline in a string", "\"a\nb\"", matrixerr.CodeNotJSON},
		{"a raw newline after an escape", "\"\\ta\nb\"", matrixerr.CodeNotJSON},
		{"invalid UTF-8", "\"\xff\"", matrixerr.CodeNotJSON},
		{"invalid UTF-8 after an escape", "\"\\t\xff\"", matrixerr.CodeNotJSON},
		{"an encoded surrogate", "\"\xed\xa0\x80\"", matrixerr.CodeNotJSON},
		{"a bad escape", `"\x"`, matrixerr.CodeNotJSON},
		{"a short escape", `"\u12"`, matrixerr.CodeNotJSON},
		{"a high surrogate alone", `"\ud83d"`, matrixerr.CodeBadJSON},
		{"a high surrogate before something else", `"\ud83d\u0041"`, matrixerr.CodeBadJSON},
		{"a low surrogate alone", `"\ude00"`, matrixerr.CodeBadJSON},
		{"a key twice", `{"a": 1, "a": 2}`, matrixerr.CodeBadJSON},
		{"a key twice, once escaped", `{"a": 1, "\u0061": 2}`, matrixerr.CodeBadJSON},
		{"a key twice deep inside", `{"x": [{"a": 1, "a": 2}]}`, matrixerr.CodeBadJSON},
		{"a key twice among many", `{` + manyKeys(500) + `"k7": 0}`, matrixerr.CodeBadJSON},
		{"many keys", `{` + manyKeys(500) + `"x": 0}`, ""},
		{"one key in two objects", `[{"a": 1}, {"a": 1}]`, ""},
		{"200 levels", strings.Repeat("[", 200) + strings.Repeat("]", 200), ""},
		{"202 levels", strings.Repeat("[", 202) + strings.Repeat("]", 202), matrixerr.CodeBadJSON},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := CheckJSON([]byte(test.body))
			if test.code == "" && err != nil || test.code != "" && !matrixerr.Is(err, test.code) {
				t.Errorf("got %v, want %q", err, test.code)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"k` + itoa(i) + `": 0, `)
	}
	return b.String()
}
