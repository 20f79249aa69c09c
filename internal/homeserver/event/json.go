// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrBadJSON: not JSON, or JSON that an event or a signed object may not hold.
	ErrBadJSON = errors.New("bad JSON")
	// ErrTooLarge: the event or one of its fields is over its limit.
	ErrTooLarge = errors.New("too large")
	// ErrInvalidID: not an identifier of the Matrix grammar.
	ErrInvalidID = errors.New("invalid identifier")
	// ErrSignature: a signature is missing or wrong.
	ErrSignature = errors.New("bad signature")
)

// Object reads the members of a JSON object in canonical form by their exact
// keys: no case folding, and no doubt about duplicates because canonical JSON has
// none. The zero Object is empty. On JSON that is not canonical it finds less,
// but never fails.
//
// Strings that an Object returns share the memory of its JSON, which must not
// change afterwards.
type Object struct{ raw []byte }

// ParseObject returns a reader over raw; false if raw is no object. Pass
// untrusted JSON through Canonical first.
func ParseObject(raw []byte) (Object, bool) {
	if len(raw) < 2 || raw[0] != '{' || raw[len(raw)-1] != '}' {
		return Object{}, false
	}
	return Object{raw: raw}, true
}

// JSON returns the object's JSON, nil for the zero Object.
func (o Object) JSON() []byte { return o.raw }

// Get returns the value of key as it stands in the JSON; false if absent.
func (o Object) Get(key string) ([]byte, bool) {
	for m := firstEntry(o.raw); m.ok; m = m.next(o.raw) {
		if m.is(key) {
			return m.value, true
		}
	}
	return nil, false
}

// String returns the value of key; false if absent or no string.
func (o Object) String(key string) (string, bool) {
	v, ok := o.Get(key)
	if !ok {
		return "", false
	}
	return StringValue(v)
}

// Int returns the value of key; false if absent or no integer.
func (o Object) Int(key string) (int64, bool) {
	v, ok := o.Get(key)
	if !ok {
		return 0, false
	}
	return IntValue(v)
}

// Bool returns the value of key; false, false if absent or no boolean.
func (o Object) Bool(key string) (bool, bool) {
	v, _ := o.Get(key)
	yes := string(v) == "true"
	return yes, yes || string(v) == "false"
}

// Object returns the object under key; the empty one and false if absent or no object.
func (o Object) Object(key string) (Object, bool) {
	v, _ := o.Get(key)
	return ParseObject(v)
}

// Each calls f with every member, in the order of the JSON, until f returns false.
func (o Object) Each(f func(key string, value []byte) bool) {
	for m := firstEntry(o.raw); m.ok; m = m.next(o.raw) {
		key, ok := StringValue(m.key)
		if !ok || !f(key, m.value) {
			return
		}
	}
}

// EachElement calls f with every element of the JSON array raw until f returns
// false. It returns false if raw is no array.
func EachElement(raw []byte, f func(value []byte) bool) bool {
	if len(raw) < 2 || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return false
	}
	for i := 1; i < len(raw)-1; i++ {
		end := skipValue(raw, i)
		if end < 0 || !f(raw[i:end]) {
			break
		}
		i = end // at the comma
	}
	return true
}

// StringValue returns the string that the JSON value raw holds; false if it holds none.
func StringValue(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	body := raw[1 : len(raw)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return view(body), true
	}
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			out = append(out, body[i])
			i++
			continue
		}
		r, n := decodeEscape(body[i:])
		if n == 0 {
			return "", false
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	return view(out), true
}

// IntValue returns the integer that the JSON value raw holds; false if it holds
// none, or one beyond int64. Neither 1.0 nor 1e3 is an integer.
func IntValue(raw []byte) (int64, bool) {
	if len(raw) == 0 || raw[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseInt(view(raw), 10, 64)
	return n, err == nil
}

// view returns b as a string without copying. The JSON of this package is never
// changed once it is read, which is what makes that sound.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // see above
}

// entry is a member of a canonical object. key has its quotes.
type entry struct {
	key, value []byte
	start, end int
	ok         bool
}

// firstEntry returns the first member of the object raw; not ok if there is none.
func firstEntry(raw []byte) entry { return entryAt(raw, 1) }

// next returns the member after m.
func (m entry) next(raw []byte) entry {
	if m.end >= len(raw) || raw[m.end] != ',' {
		return entry{}
	}
	return entryAt(raw, m.end+1)
}

func entryAt(raw []byte, i int) entry {
	if i >= len(raw) || raw[i] != '"' {
		return entry{}
	}
	colon := skipString(raw, i)
	if colon < 0 || colon >= len(raw) || raw[colon] != ':' {
		return entry{}
	}
	end := skipValue(raw, colon+1)
	if end < 0 {
		return entry{}
	}
	return entry{key: raw[i:colon], value: raw[colon+1 : end], start: i, end: end, ok: true}
}

// is compares decoded: an event may hold a key that needs escapes.
func (m entry) is(key string) bool {
	if bytes.IndexByte(m.key, '\\') < 0 {
		return view(m.key[1:len(m.key)-1]) == key
	}
	s, ok := StringValue(m.key)
	return ok && s == key
}

// skipValue returns the end of the JSON value at i, -1 if there is none. Brackets
// are only counted: the JSON is canonical or our own.
func skipValue(raw []byte, i int) int {
	start, depth := i, 0
	for i < len(raw) {
		switch raw[i] {
		case '"':
			if i = skipString(raw, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return found(start, i)
			}
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return found(start, i)
			}
		}
		i++
	}
	if depth != 0 {
		return -1
	}
	return found(start, i)
}

// found returns end, or -1 for a value of no length.
func found(start, end int) int {
	if start == end {
		return -1
	}
	return end
}

// skipString returns the end of the JSON string at i, -1 if it has none.
func skipString(raw []byte, i int) int {
	for j := i + 1; j < len(raw); j++ {
		n := bytes.IndexByte(raw[j:], '"')
		if n < 0 {
			return -1
		}
		j += n
		escapes := 0
		for raw[j-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return j + 1
		}
	}
	return -1
}

// setMember returns the canonical object obj with key set to value, in a new slice.
func setMember(obj []byte, key string, value []byte) []byte {
	quoted := AppendString(make([]byte, 0, len(key)+2), key)
	at, end, comma := len(obj)-1, len(obj)-1, ""
	for m := firstEntry(obj); m.ok; m = m.next(obj) {
		order := compareKeys(m.key, quoted)
		if order < 0 {
			continue
		}
		at, end = m.start, m.end
		if order > 0 {
			end, comma = m.start, ","
		}
		break
	}
	out := make([]byte, 0, len(obj)+len(quoted)+len(value)+2)
	out = append(out, obj[:at]...)
	if at == len(obj)-1 && at > 1 {
		out = append(out, ',')
	}
	out = append(append(append(out, quoted...), ':'), value...)
	return append(append(out, comma...), obj[end:]...)
}

// appendWithout appends the canonical object obj to dst, leaving out the members
// that drop names. dst may be obj[:0].
func appendWithout(dst, obj []byte, drop func(key string) bool) []byte {
	dst = append(dst, '{')
	empty := true
	for m := firstEntry(obj); m.ok; {
		next := m.next(obj)
		if !drop(view(m.key[1 : len(m.key)-1])) {
			if !empty {
				dst = append(dst, ',')
			}
			dst = append(dst, obj[m.start:m.end]...)
			empty = false
		}
		m = next
	}
	return append(dst, '}')
}
