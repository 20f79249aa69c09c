// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
)

// Fields is a set of dot-separated paths to members of an event; nil keeps everything.
//
// https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
type Fields struct {
	whole bool // this member and all below it
	below map[string]*Fields
}

// NewFields returns the set of paths, nil for none.
func NewFields(paths []string) *Fields {
	if paths == nil {
		return nil
	}
	root := &Fields{}
	for _, path := range paths {
		f := root
		for _, name := range splitPath(path) {
			if f.below == nil {
				f.below = map[string]*Fields{}
			}
			if f.below[name] == nil {
				f.below[name] = &Fields{}
			}
			f = f.below[name]
		}
		f.whole = true
	}
	return root
}

// splitPath splits at dots; \. and \\ stand for a dot and a backslash within
// a name, any other backslash for itself.
func splitPath(path string) []string {
	var names []string
	var name []byte
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
			name = append(name, path[i])
		case path[i] == '.':
			names, name = append(names, string(name)), nil
		default:
			name = append(name, path[i])
		}
	}
	return append(names, string(name))
}

// Append appends the object raw, which has no white space, to dst with only
// the members that f names.
func (f *Fields) Append(dst, raw []byte) []byte {
	obj, ok := event.ParseObject(raw)
	if f == nil || f.whole || !ok {
		return append(dst, raw...)
	}
	dst = append(dst, '{')
	empty := true
	obj.Each(func(key string, value []byte) bool {
		sub := f.below[key]
		if sub == nil || !sub.whole && (len(value) == 0 || value[0] != '{') {
			return true
		}
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
		dst = append(event.AppendString(dst, key), ':')
		dst = sub.Append(dst, value)
		return true
	})
	return append(dst, '}')
}
