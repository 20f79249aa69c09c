// SPDX-License-Identifier: Apache-2.0

package push

import "strings"

// glob is a compiled pattern in which * stands for any characters and ? for
// one. It is run as an automaton whose states are bits, so that it takes time
// linear in the text whatever the pattern.
//
// https://spec.matrix.org/v1.19/appendices/#glob-style-matching
type glob struct {
	// literal is the whole pattern in lower case if it has no wildcards.
	literal string
	plain   bool
	// parts are the pieces between wildcards: a text that lacks one cannot match.
	parts []string
	// by says at which places of the pattern a character may stand; any is where every one may.
	by  map[rune]bits
	any bits
	// loop are the places at which a star lets the automaton stay.
	loop bits
	end  int
}

// bits is a set of places of a pattern.
type bits []uint64

func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

// newGlob compiles a pattern; letters match in either case.
func newGlob(pattern string) *glob {
	pattern = strings.ToLower(pattern)
	if !strings.ContainsAny(pattern, "*?") {
		return &glob{literal: pattern, plain: true}
	}
	g := &glob{by: map[rune]bits{}}
	runes := []rune(pattern)
	words := len(runes)/64 + 1
	g.any, g.loop = make(bits, words), make(bits, words)
	for _, r := range runes {
		switch r {
		case '*':
			g.loop.set(g.end)
			continue
		case '?':
			g.any.set(g.end)
		default:
			if g.by[r] == nil {
				g.by[r] = make(bits, words)
			}
			g.by[r].set(g.end)
		}
		g.end++
	}
	g.parts = strings.FieldsFunc(pattern, func(r rune) bool { return r == '*' || r == '?' })
	return g
}

// budget bounds how many steps the patterns of one user may take on one event:
// a user with thousands of rules must not hold up everybody else's.
type budget int

// maxSteps takes some ten milliseconds.
const maxSteps = 8 << 20

// take reports whether n more steps may be taken.
func (b *budget) take(n int) bool {
	*b -= budget(n)
	return *b >= 0
}

// matchAll reports whether the pattern matches a whole text, given in lower case.
func (g *glob) matchAll(text string, b *budget) bool {
	if g.plain {
		return text == g.literal
	}
	return g.possible(text, b) && b.take(len(text)*len(g.any)) && g.run([]rune(text), false)
}

// matchWords reports whether the pattern matches a part of a text, given in
// lower case, that begins and ends at word boundaries.
//
// https://spec.matrix.org/v1.19/client-server-api/#conditions-1
func (g *glob) matchWords(text string, b *budget) bool {
	if g.plain {
		return b.take(len(text)*(1+len(g.literal)/64)) && containsWord(text, g.literal)
	}
	return g.possible(text, b) && b.take(len(text)*len(g.any)) && g.run([]rune(text), true)
}

// possible rules out texts that lack a part of the pattern, at little cost.
func (g *glob) possible(text string, b *budget) bool {
	if !b.take(len(text) / 8) {
		return false
	}
	for _, part := range g.parts {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// run runs the automaton. With words it may start and end at any word boundary.
func (g *glob) run(text []rune, words bool) bool {
	now, next := make(bits, len(g.any)), make(bits, len(g.any))
	now.set(0)
	if words && g.end == 0 { // stars alone
		return true
	}
	for i, r := range text {
		if words && i > 0 && isBoundary(text, i) {
			if now.has(g.end) {
				return true
			}
			now.set(0)
		}
		g.step(next, now, r)
		now, next = next, now
	}
	return now.has(g.end)
}

// step computes the places after the character r.
func (g *glob) step(next, now bits, r rune) {
	by := g.by[r]
	carry := uint64(0)
	for w := range now {
		moved := now[w] & g.any[w]
		if by != nil {
			moved = now[w] & (g.any[w] | by[w])
		}
		next[w] = now[w]&g.loop[w] | moved<<1 | carry
		carry = moved >> 63
	}
}

// isBoundary reports whether a word begins or ends before text[i].
func isBoundary(text []rune, i int) bool { return !isWord(text[i-1]) || !isWord(text[i]) }

// isWord reports whether r belongs to a word. The specification knows ASCII alone.
func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// containsWord reports whether text has word between word boundaries.
func containsWord(text, word string) bool {
	if word == "" {
		return true
	}
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(word)
		if bounded(text, start) && bounded(text, end) {
			return true
		}
		at = start + 1
	}
}

// bounded reports whether there is a word boundary before text[i]. What is
// not ASCII is in no word, so single bytes tell.
func bounded(text string, i int) bool {
	return i == 0 || i == len(text) || !isWord(rune(text[i-1])) || !isWord(rune(text[i]))
}
