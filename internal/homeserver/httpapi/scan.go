// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// maxNesting bounds arrays and objects inside each other in a request.
const maxNesting = 200

// CheckJSON says whether body is one JSON value that has one meaning: valid
// syntax and UTF-8 (else M_NOT_JSON), no key twice in an object, no lone
// surrogate, not nested deeper than 200 (else M_BAD_JSON). It takes time
// linear in len(body), whatever the body.
func CheckJSON(body []byte) error {
	s := scanner{src: body}
	if err := s.value(0); err != nil {
		return err
	}
	if s.space(); s.pos != len(s.src) {
		return s.notJSON("text after the value")
	}
	return nil
}

type scanner struct {
	src []byte
	pos int
}

func (s *scanner) notJSON(what string) error {
	return matrixerr.NotJSON("body is not JSON: " + what + " at byte " + strconv.Itoa(s.pos))
}

func (s *scanner) badJSON(what string) error {
	return matrixerr.BadJSON(what + " at byte " + strconv.Itoa(s.pos))
}

// space skips white space and returns the next byte, 0 at the end.
func (s *scanner) space() byte {
	for ; s.pos < len(s.src); s.pos++ {
		switch s.src[s.pos] {
		case ' ', '\t', '\n', '\r':
		default:
			return s.src[s.pos]
		}
	}
	return 0
}

func (s *scanner) value(depth int) error {
	if depth > maxNesting {
		return s.badJSON("nested too deeply")
	}
	switch c := s.space(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	default:
		return s.word()
	}
}

func (s *scanner) word() error {
	for _, w := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.src[s.pos:], []byte(w)) {
			s.pos += len(w)
			return nil
		}
	}
	return s.notJSON("no value")
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) accept(one string) bool {
	if s.pos < len(s.src) && bytes.IndexByte([]byte(one), s.src[s.pos]) >= 0 {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) number() error {
	s.accept("-")
	if !s.accept("0") && !s.digits() {
		return s.notJSON("bad number")
	}
	if s.accept(".") && !s.digits() {
		return s.notJSON("bad number")
	}
	if s.accept("eE") {
		s.accept("+-")
		if !s.digits() {
			return s.notJSON("bad number")
		}
	}
	return nil
}

func (s *scanner) array(depth int) error {
	s.pos++
	if s.space() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		switch s.space() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.notJSON("array does not end")
		}
	}
}

func (s *scanner) object(depth int) error {
	s.pos++
	if s.space() == '}' {
		s.pos++
		return nil
	}
	keys := keySet{}
	for {
		if err := s.member(depth, &keys); err != nil {
			return err
		}
		switch s.space() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.notJSON("object does not end")
		}
	}
}

func (s *scanner) member(depth int, keys *keySet) error {
	if s.space() != '"' {
		return s.notJSON("no key")
	}
	key, err := s.str()
	if err != nil {
		return err
	}
	if !keys.add(key) {
		return s.badJSON("key occurs twice in an object")
	}
	if s.space() != ':' {
		return s.notJSON("no colon after the key")
	}
	s.pos++
	return s.value(depth + 1)
}

// keySet holds the decoded keys of one object; few objects have many.
type keySet struct {
	few  [][]byte
	many map[string]struct{}
}

const fewKeys = 16

func (k *keySet) add(key []byte) bool {
	if k.many == nil && len(k.few) < fewKeys {
		for _, other := range k.few {
			if bytes.Equal(other, key) {
				return false
			}
		}
		k.few = append(k.few, key)
		return true
	}
	if k.many == nil {
		k.many = make(map[string]struct{}, 2*fewKeys)
		for _, other := range k.few {
			k.many[string(other)] = struct{}{}
		}
	}
	if _, twice := k.many[string(key)]; twice {
		return false
	}
	k.many[string(key)] = struct{}{}
	return true
}

// str scans the string at pos and returns it decoded.
func (s *scanner) str() ([]byte, error) {
	s.pos++
	start := s.pos
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return s.src[start : s.pos-1], nil
		case c == '\\':
			return s.escaped(bytes.Clone(s.src[start:s.pos]))
		case c < 0x20:
			return nil, s.notJSON("control character in a string")
		case c < utf8.RuneSelf:
			s.pos++
		default:
			if err := s.rune(); err != nil {
				return nil, err
			}
		}
	}
	return nil, s.notJSON("string does not end")
}

// rune passes one multi-byte character.
func (s *scanner) rune() error {
	r, n := utf8.DecodeRune(s.src[s.pos:])
	if r == utf8.RuneError && n <= 1 {
		return s.notJSON("invalid UTF-8")
	}
	s.pos += n
	return nil
}

// escaped goes on with a string after its first backslash.
func (s *scanner) escaped(out []byte) ([]byte, error) {
	for s.pos < len(s.src) {
		start := s.pos
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return out, nil
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, r)
			continue
		case c < 0x20:
			return nil, s.notJSON("control character in a string")
		case c < utf8.RuneSelf:
			s.pos++
		default:
			if err := s.rune(); err != nil {
				return nil, err
			}
		}
		out = append(out, s.src[start:s.pos]...)
	}
	return nil, s.notJSON("string does not end")
}

// simpleEscapes maps the letter of a two-character escape to what it means.
var simpleEscapes = map[byte]rune{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// escape decodes the escape at pos. A surrogate without its other half has no
// meaning in UTF-8, so it is refused rather than replaced.
func (s *scanner) escape() (rune, error) {
	if s.pos+1 >= len(s.src) {
		return 0, s.notJSON("string does not end")
	}
	if r, ok := simpleEscapes[s.src[s.pos+1]]; ok {
		s.pos += 2
		return r, nil
	}
	r, ok := s.hex()
	switch {
	case !ok:
		return 0, s.notJSON("bad escape")
	case r >= 0xdc00 && r <= 0xdfff:
		return 0, s.badJSON("lone surrogate")
	case r < 0xd800 || r > 0xdfff:
		return r, nil
	}
	low, ok := s.hex()
	if !ok || low < 0xdc00 || low > 0xdfff {
		return 0, s.badJSON("lone surrogate")
	}
	return 0x10000 + (r-0xd800)<<10 + (low - 0xdc00), nil
}

// hex reads \uXXXX.
func (s *scanner) hex() (rune, bool) {
	if s.pos+6 > len(s.src) || s.src[s.pos] != '\\' || s.src[s.pos+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.src[s.pos+2 : s.pos+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	s.pos += 6
	return r, true
}
