// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxNesting bounds arrays and objects inside each other. No real event comes
	// near, and it keeps the stack small whatever the input.
	maxNesting = 256
	// maxSafeInteger is the largest number of canonical JSON.
	maxSafeInteger = 1<<53 - 1
)

// Canonical returns raw, which may be any JSON value, in canonical JSON: members
// sorted by code point, no white space, shortest escapes, and of a member that
// occurs twice only the last. The result is a new slice.
//
// With strictNumbers a number must be an integer within ±(2^53-1), without
// fraction, exponent or negative zero. Without it (room versions 1 to 5, objects
// signed by others) such numbers stay as written, except that an integer written
// with an exponent or as -0 becomes a plain integer, as the specification's
// examples show (appendices, "Canonical JSON").
//
// Whatever is not JSON, invalid UTF-8, a lone surrogate, or nesting deeper than
// 256 gives ErrBadJSON.
func Canonical(raw []byte, strictNumbers bool) ([]byte, error) {
	return canonicalise(raw, strictNumbers, "")
}

// canonicalise is Canonical, with one top-level member whose numbers are not
// checked: unsigned, which is no part of an event's hash or signature.
func canonicalise(raw []byte, strict bool, lax string) ([]byte, error) {
	var members [24]span // enough for most events, so that they cost no allocation
	c := canonicaliser{src: raw, dst: make([]byte, 0, len(raw)), members: members[:0], strict: strict, lax: lax}
	if err := c.value(); err != nil {
		return nil, err
	}
	c.space()
	if c.pos != len(c.src) {
		return nil, c.fail("text after the end of the JSON value")
	}
	return c.dst, nil
}

// canonicaliser copies src to dst. Members are written in the order of the
// source and put in order when their object ends, if they are not already.
type canonicaliser struct {
	src     []byte
	pos     int
	dst     []byte
	members []span // of the objects that are open, innermost last
	scratch []byte
	depth   int
	strict  bool
	lax     string
}

// span locates a member in dst: its key with quotes, and the end of its value.
type span struct{ key, keyEnd, end int }

func (c *canonicaliser) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrBadJSON, what, c.pos)
}

// space skips white space and returns the next byte, 0 at the end.
func (c *canonicaliser) space() byte {
	for ; c.pos < len(c.src); c.pos++ {
		switch c.src[c.pos] {
		case ' ', '\t', '\n', '\r':
		default:
			return c.src[c.pos]
		}
	}
	return 0
}

func (c *canonicaliser) value() error {
	switch b := c.space(); {
	case b == '{' || b == '[':
		return c.nested(b)
	case b == '"':
		return c.text()
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	case b == 't':
		return c.word("true")
	case b == 'f':
		return c.word("false")
	case b == 'n':
		return c.word("null")
	default:
		return c.fail("no JSON value")
	}
}

func (c *canonicaliser) word(w string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(w)) {
		return c.fail("no JSON value")
	}
	c.pos += len(w)
	c.dst = append(c.dst, w...)
	return nil
}

func (c *canonicaliser) nested(open byte) error {
	if c.depth++; c.depth > maxNesting {
		return c.fail("nesting is too deep")
	}
	var err error
	if open == '{' {
		err = c.object()
	} else {
		err = c.array()
	}
	c.depth--
	return err
}

func (c *canonicaliser) array() error {
	c.pos++
	c.dst = append(c.dst, '[')
	if c.space() == ']' {
		c.pos++
		c.dst = append(c.dst, ']')
		return nil
	}
	for {
		if err := c.value(); err != nil {
			return err
		}
		b := c.space()
		if b != ',' && b != ']' {
			return c.fail("expected , or ] in an array")
		}
		c.pos++
		c.dst = append(c.dst, b)
		if b == ']' {
			return nil
		}
	}
}

func (c *canonicaliser) object() error {
	start, base, sorted := len(c.dst), len(c.members), true
	c.pos++
	c.dst = append(c.dst, '{')
	more := c.space() != '}'
	if !more {
		c.pos++
	}
	for more {
		m, err := c.member()
		if err != nil {
			return err
		}
		if n := len(c.members); n > base && c.compare(c.members[n-1], m) >= 0 {
			sorted = false
		}
		c.members = append(c.members, m)
		switch c.space() {
		case ',':
			c.dst = append(c.dst, ',')
		case '}':
			more = false
		default:
			return c.fail("expected , or } in an object")
		}
		c.pos++
	}
	if !sorted {
		c.sort(start, c.members[base:])
	}
	c.members = c.members[:base]
	c.dst = append(c.dst, '}')
	return nil
}

func (c *canonicaliser) member() (span, error) {
	m := span{key: len(c.dst)}
	if c.space() != '"' {
		return m, c.fail("expected a key")
	}
	if err := c.text(); err != nil {
		return m, err
	}
	m.keyEnd = len(c.dst)
	if c.space() != ':' {
		return m, c.fail("expected : after a key")
	}
	c.pos++
	c.dst = append(c.dst, ':')
	strict := c.strict
	if c.depth == 1 && c.lax != "" && string(c.dst[m.key+1:m.keyEnd-1]) == c.lax {
		c.strict = false
	}
	err := c.value()
	c.strict = strict
	m.end = len(c.dst)
	return m, err
}

func (c *canonicaliser) compare(a, b span) int {
	return compareKeys(c.dst[a.key:a.keyEnd], c.dst[b.key:b.keyEnd])
}

// sort rewrites the object that begins at start and is not closed yet.
func (c *canonicaliser) sort(start int, members []span) {
	slices.SortStableFunc(members, func(a, b span) int { return c.compare(a, b) })
	out := append(slices.Grow(c.scratch[:0], len(c.dst)-start), '{')
	for i, m := range members {
		if i+1 < len(members) && c.compare(m, members[i+1]) == 0 {
			continue // the same key again: the last one counts
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, c.dst[m.key:m.end]...)
	}
	c.scratch = out
	c.dst = append(c.dst[:start], out...)
}

// compareKeys orders two keys of canonical JSON, quotes included, by code point.
func compareKeys(a, b []byte) int {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return bytes.Compare(a[1:len(a)-1], b[1:len(b)-1])
	}
	i, j := 1, 1
	for i < len(a)-1 && j < len(b)-1 {
		var x, y byte
		x, i = keyByte(a, i)
		y, j = keyByte(b, j)
		if x != y {
			return int(x) - int(y)
		}
	}
	return (len(a) - i) - (len(b) - j)
}

// keyByte decodes one byte of a canonical string: what canonical JSON escapes is
// below U+0080, so an escape always stands for one byte.
func keyByte(s []byte, i int) (byte, int) {
	if s[i] != '\\' || i+2 >= len(s) {
		return s[i], i + 1
	}
	if s[i+1] == 'u' && i+6 <= len(s) {
		r, _ := hex4(s[i+2 : i+6])
		return byte(r), i + 6
	}
	return unescape(s[i+1]), i + 2
}

// text copies a string.
func (c *canonicaliser) text() error {
	c.pos++
	c.dst = append(c.dst, '"')
	for {
		start := c.pos
		for c.pos < len(c.src) && c.src[c.pos] >= ' ' && c.src[c.pos] != '"' && c.src[c.pos] != '\\' {
			c.pos++
		}
		run := c.src[start:c.pos]
		if !utf8.Valid(run) {
			return c.fail("invalid UTF-8 in a string before")
		}
		c.dst = append(c.dst, run...)
		switch {
		case c.pos == len(c.src):
			return c.fail("string without end")
		case c.src[c.pos] == '"':
			c.pos++
			c.dst = append(c.dst, '"')
			return nil
		case c.src[c.pos] != '\\':
			return c.fail("control character in a string")
		}
		r, n := decodeEscape(c.src[c.pos:])
		if n == 0 {
			return c.fail("invalid escape or lone surrogate")
		}
		c.pos += n
		c.dst = appendRune(c.dst, r)
	}
}

// decodeEscape reads the escape sequence that s begins with, a surrogate pair
// included; length 0 if it is invalid.
func decodeEscape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	if s[1] != 'u' {
		r := rune(unescape(s[1]))
		if r == 0 {
			return 0, 0
		}
		return r, 2
	}
	r, ok := hex4(s[2:])
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) < 12 || s[6] != '\\' || s[7] != 'u' {
		return 0, 0
	}
	low, ok := hex4(s[8:])
	r = utf16.DecodeRune(r, low)
	if !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// unescape returns what \b stands for, 0 if there is no such escape.
func unescape(b byte) byte {
	switch b {
	case '"', '\\', '/':
		return b
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, b := range s[:4] {
		switch {
		case '0' <= b && b <= '9':
			r = r<<4 | rune(b-'0')
		case 'a' <= b && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case 'A' <= b && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// appendRune appends r as canonical JSON writes it inside a string.
func appendRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4&15], hex[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// AppendString appends s as a JSON string in canonical form. Invalid UTF-8
// becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i, r := range s {
		if r >= ' ' && r != '"' && r != '\\' && r != utf8.RuneError {
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendRune(dst, r)
		start = i + 1
		if r == utf8.RuneError {
			_, n := utf8.DecodeRuneInString(s[i:])
			start = i + n
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// number copies a number.
func (c *canonicaliser) number() error {
	start := c.pos
	exponent, ok := c.scanNumber()
	if !ok {
		return c.fail("malformed number")
	}
	literal := c.src[start:c.pos]
	integer := !exponent && bytes.IndexByte(literal, '.') < 0
	switch {
	case c.strict && !integer:
		return c.fail("number with a fraction or an exponent")
	case c.strict && string(literal) == "-0":
		return c.fail("negative zero")
	case c.strict && !isSafeInteger(literal):
		return c.fail("number beyond 2^53-1")
	case string(literal) == "-0":
		c.dst = append(c.dst, '0')
		return nil
	case exponent:
		f, err := strconv.ParseFloat(string(literal), 64)
		if err == nil && f == math.Trunc(f) && math.Abs(f) <= maxSafeInteger {
			c.dst = strconv.AppendInt(c.dst, int64(f), 10)
			return nil
		}
	}
	c.dst = append(c.dst, literal...)
	return nil
}

// scanNumber moves past a number of the JSON grammar. It reports whether the
// number has an exponent, and whether it is one at all.
func (c *canonicaliser) scanNumber() (bool, bool) {
	if c.at("-") {
		c.pos++
	}
	zero := c.at("0")
	if n := c.digits(); n == 0 || zero && n > 1 {
		return false, false
	}
	if c.at(".") {
		c.pos++
		if c.digits() == 0 {
			return false, false
		}
	}
	if !c.at("eE") {
		return false, true
	}
	c.pos++
	if c.at("+-") {
		c.pos++
	}
	return true, c.digits() > 0
}

// at reports whether the next byte is one of set.
func (c *canonicaliser) at(set string) bool {
	return c.pos < len(c.src) && strings.IndexByte(set, c.src[c.pos]) >= 0
}

// digits moves past digits and returns how many.
func (c *canonicaliser) digits() int {
	start := c.pos
	for c.pos < len(c.src) && '0' <= c.src[c.pos] && c.src[c.pos] <= '9' {
		c.pos++
	}
	return c.pos - start
}

func isSafeInteger(literal []byte) bool {
	if len(literal) > len("-9007199254740991") {
		return false
	}
	n, ok := IntValue(literal)
	return ok && -maxSafeInteger <= n && n <= maxSafeInteger
}
