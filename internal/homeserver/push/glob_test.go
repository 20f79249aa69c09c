// SPDX-License-Identifier: Apache-2.0

package push

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		all, words    bool
	}{
		{"cake", "cake", true, true},
		{"cake", "Cake!", false, true},
		{"CAKE", "a cake a day", false, true},
		{"cake", "cakes", false, false},
		{"cake", "pancake", false, false},
		{"cake*", "cakes", true, true},
		{"*cake", "pancake", true, true},
		{"cake*lie", "the cake is a lie.", false, true},
		{"cake*lie", "cakelie", true, true},
		{"ca?e", "cafe", true, true},
		{"ca?e", "cae", false, false},
		{"ca?e", "café cave", false, true},
		{"caf?", "café", true, true},
		{"*", "", true, true},
		{"", "", true, true},
		{"?", "", false, false},
		{"a*b*c", "a-b-c", true, true},
		{"a*b*c", "acb", false, false},
		{"m.*", "m.room", true, true},
		{"m.?", "mxy", false, false},
		{":)", "smile :) please", false, true},
		{"@room", "hey @room!", false, true},
		{"a_b", "x a_b y", false, true},
		{"a", "a_b", false, false},
		{"b", "äb", false, true},
		{"aba", "ababa aba", false, true},
		{"*a", "b", false, false},
		{strings.Repeat("a", 70) + "?", strings.Repeat("a", 71), true, true},
		{strings.Repeat("?", 130) + "*", strings.Repeat("x", 129), false, false},
	} {
		g, text := newGlob(c.pattern), strings.ToLower(c.text)
		steps := budget(maxSteps)
		if got := g.matchAll(text, &steps); got != c.all {
			t.Errorf("%q matches all of %q: %v", c.pattern, c.text, got)
		}
		if got := g.matchWords(text, &steps); got != c.words {
			t.Errorf("%q matches words of %q: %v", c.pattern, c.text, got)
		}
	}
}

func TestGlobsAgreeWithRegularExpressions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, n int) string {
		out := make([]byte, random.IntN(n))
		for i := range out {
			out[i] = letters[random.IntN(len(letters))]
		}
		return string(out)
	}
	for range 20_000 {
		pattern, text := word("ab*? ", 8), word("ab -", 14)
		inner := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		edge := `(?:^|\b|[^a-zA-Z0-9_])`
		words := regexp.MustCompile(`(?s)` + edge + inner + `(?:$|\b|[^a-zA-Z0-9_])`)
		all := regexp.MustCompile(`(?s)^(?:` + inner + `)$`)
		steps := budget(maxSteps)
		g := newGlob(pattern)
		if got, want := g.matchAll(text, &steps), all.MatchString(text); got != want {
			t.Fatalf("%q matches all of %q: %v, want %v", pattern, text, got, want)
		}
		if got, want := g.matchWords(text, &steps), words.MatchString(text); got != want {
			t.Fatalf("%q matches words of %q: %v, want %v", pattern, text, got, want)
		}
	}
}

func TestOneUsersPatternsEndWithTheirBudget(t *testing.T) {
	body := strings.Repeat("a", 64<<10) + "b-"
	steps := budget(maxSteps)
	evaluated := 0
	for steps > 0 && evaluated < 10_000 {
		newGlob("*a*a*a*a*b?c").matchWords(body, &steps)
		newGlob("a*a*a*a*b?").matchWords(body, &steps)
		evaluated++
	}
	if evaluated == 10_000 || evaluated < 10 {
		t.Errorf("the budget was good for %d patterns", evaluated)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("*a?b*", "xxab")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 1024 || len(text) > 64<<10 {
			t.Skip()
		}
		steps := budget(maxSteps)
		g := newGlob(pattern)
		g.matchAll(text, &steps)
		g.matchWords(text, &steps)
	})
}

func TestH63AHostilePatternTakesStepsInProportionToTheText(t *testing.T) {
	body := strings.Repeat("a", 64<<10)
	for _, pattern := range []string{"*a*a*a*a*b", "a*a*a*a*b", strings.Repeat("a*", 500) + "b", strings.Repeat("?*", 500) + "b"} {
		for _, text := range []string{body, body + "c"} {
			steps := budget(maxSteps)
			g := newGlob(pattern)
			if g.matchWords(text, &steps) || g.matchAll(text, &steps) {
				t.Errorf("%.20q matches", pattern)
			}
			if used := maxSteps - int(steps); used > 2*len(text)*(len(pattern)/64+2) {
				t.Errorf("%.20q took %d steps for %d bytes", pattern, used, len(text))
			}
		}
		steps := budget(maxSteps)
		if !newGlob(pattern).matchWords(body+"b", &steps) {
			t.Errorf("%.20q does not match", pattern)
		}
	}
}
