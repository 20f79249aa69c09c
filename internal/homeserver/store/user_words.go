// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxWords bounds the words of one user.
	maxWords = 32
	// maxWord is the longest word in bytes; of longer ones the beginning counts.
	maxWord = 64
	// maxTerms is how many words of a search count.
	maxTerms = 8
)

// fold makes words equal that differ in case, width or accents only.
func fold(text string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// runsOf returns the runs of letters and digits in a text, folded.
func runsOf(text string) []string {
	return strings.FieldsFunc(fold(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

// wordsOf returns the words of a text, folded, without repetitions, at most
// maxWords. Where a script puts no spaces between words, one begins at each letter.
func wordsOf(text string) []string {
	var words []string
	for _, run := range runsOf(text) {
		for i, r := range run {
			if i > 0 && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) {
				continue
			}
			word := beginning(run[i:], maxWord)
			if len(words) < maxWords && !slices.Contains(words, word) {
				words = append(words, word)
			}
		}
	}
	return words
}

// beginning returns at most the first n bytes of text, whole characters.
func beginning(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// localpart is what stands between @ and the first colon of a user id.
func localpart(user string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(user, "@"), ":")
	return name
}

// userWords returns the words by which a user is found.
func userWords(user, displayName string) []string {
	name := localpart(user)
	return append(wordsOf(name+" "+displayName), beginning("@"+fold(name), maxWord))
}

// searchTerms returns the beginnings of words that a user has to have who is
// searched by text; none if nobody can be found by it. What begins with @ is
// the beginning of a user id.
func searchTerms(text, serverName string) []string {
	text = beginning(strings.TrimSpace(text), maxTerms*maxWord)
	if !strings.HasPrefix(text, "@") {
		runs := runsOf(text)
		for i := range runs {
			runs[i] = beginning(runs[i], maxWord)
		}
		return runs[:min(len(runs), maxTerms)]
	}
	name, server, whole := strings.Cut(text[1:], ":")
	if name == "" || whole && !strings.HasPrefix(serverName, strings.ToLower(server)) {
		return nil
	}
	return []string{beginning("@"+fold(name), maxWord)}
}

var insertUserWord = &Insert{
	Table: "user_words", Columns: "user_id, word", Suffix: "ON CONFLICT (user_id, word) DO NOTHING",
}

const deleteUserWords = `DELETE FROM user_words WHERE user_id = $1`

// indexUser makes the user be found by the id and a display name. The caller
// has the lock on the user's row. It is done at once and not with Insert:
// other writes of the group may index the same user again.
func (tx *Tx) indexUser(ctx context.Context, user, displayName string) error {
	if _, err := tx.Exec(ctx, deleteUserWords, user); err != nil {
		return err
	}
	words := userWords(user, displayName)
	var args []any
	for i := range padded(len(words)) {
		args = append(args, user, []byte(words[min(i, len(words)-1)]))
	}
	_, err := tx.Exec(ctx, insertUserWord.text(padded(len(words))), args...)
	return err
}

// The profile fields that this package knows.
const (
	fieldDisplayName = "displayname"
	fieldAvatarURL   = "avatar_url"
)

// profileText returns the string that the JSON value of a profile field holds, or "".
func profileText(value []byte) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return "" // deleted, or of another type: then it is nobody's name
	}
	return text
}
