// SPDX-License-Identifier: Apache-2.0

package event

import "errors"

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

// Canonical returns raw in canonical JSON.
func Canonical(raw []byte, strictNumbers bool) ([]byte, error) { return nil, errors.New("not yet") }

// Object reads the members of a canonical JSON object by their exact keys.
// The zero Object is empty.
type Object struct{ raw []byte }

// ParseObject returns a reader over raw, which must be canonical JSON; false if it is not an object.
func ParseObject(raw []byte) (Object, bool) { return Object{}, false }

// Get returns the value of key as it stands in the JSON; false if absent.
func (o Object) Get(key string) ([]byte, bool) { return nil, false }

// String returns the value of key; false if absent or not a string.
func (o Object) String(key string) (string, bool) { return "", false }

// Int returns the value of key; false if absent or not an integer.
func (o Object) Int(key string) (int64, bool) { return 0, false }

// Bool returns the value of key; false, false if absent or not a boolean.
func (o Object) Bool(key string) (bool, bool) { return false, false }

// Object returns the object under key; false if absent or not an object.
func (o Object) Object(key string) (Object, bool) { return Object{}, false }

// Each calls f for every member in order until f returns false. The key is decoded.
func (o Object) Each(f func(key string, value []byte) bool) {}

// EachElement calls f for every element of the JSON array raw until f returns
// false; it returns false if raw is not an array.
func EachElement(raw []byte, f func(value []byte) bool) bool { return false }

// StringValue returns the string that raw, a JSON value, holds; false if it is none.
func StringValue(raw []byte) (string, bool) { return "", false }

// IntValue returns the integer that raw, a JSON value, holds; false if it is none
// or beyond int64. 1.0 and 1e3 are not integers.
func IntValue(raw []byte) (int64, bool) { return 0, false }
