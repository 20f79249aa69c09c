// SPDX-License-Identifier: Apache-2.0

// Package matrixerr is the one kind of error that clients get to see: an HTTP
// status, an errcode of the specification and a sentence for people. Every
// other error becomes 500 M_UNKNOWN at the edge, and its text is only logged.
//
// https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
package matrixerr

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"time"
)

// The errcodes that this server uses.
const (
	CodeForbidden              = "M_FORBIDDEN"
	CodeUnknownToken           = "M_UNKNOWN_TOKEN"
	CodeMissingToken           = "M_MISSING_TOKEN"
	CodeBadJSON                = "M_BAD_JSON"
	CodeNotJSON                = "M_NOT_JSON"
	CodeNotFound               = "M_NOT_FOUND"
	CodeLimitExceeded          = "M_LIMIT_EXCEEDED"
	CodeUnrecognized           = "M_UNRECOGNIZED"
	CodeUnknown                = "M_UNKNOWN"
	CodeUserInUse              = "M_USER_IN_USE"
	CodeInvalidUsername        = "M_INVALID_USERNAME"
	CodeUserDeactivated        = "M_USER_DEACTIVATED"
	CodeUserLocked             = "M_USER_LOCKED"
	CodeUserSuspended          = "M_USER_SUSPENDED"
	CodeWeakPassword           = "M_WEAK_PASSWORD"
	CodeRoomInUse              = "M_ROOM_IN_USE"
	CodeInvalidRoomState       = "M_INVALID_ROOM_STATE"
	CodeUnsupportedRoomVersion = "M_UNSUPPORTED_ROOM_VERSION"
	CodeBadState               = "M_BAD_STATE"
	CodeInvalidParam           = "M_INVALID_PARAM"
	CodeMissingParam           = "M_MISSING_PARAM"
	CodeTooLarge               = "M_TOO_LARGE"
	CodeResourceLimitExceeded  = "M_RESOURCE_LIMIT_EXCEEDED"
	CodeDuplicateAnnotation    = "M_DUPLICATE_ANNOTATION"
	CodeInviteBlocked          = "M_INVITE_BLOCKED"
	CodeInvalidSignature       = "M_INVALID_SIGNATURE"
	CodeKeyTooLarge            = "M_KEY_TOO_LARGE"
	CodeProfileTooLarge        = "M_PROFILE_TOO_LARGE"
	CodeWrongRoomKeysVersion   = "M_WRONG_ROOM_KEYS_VERSION"
	CodeNotYetUploaded         = "M_NOT_YET_UPLOADED"
	CodeCannotOverwriteMedia   = "M_CANNOT_OVERWRITE_MEDIA"
)

// Error is an error for clients. The zero Code leaves out errcode, as the
// first answer of user-interactive authentication does.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the errcode.
	Code string
	// Message is the human-readable text. It must not hold secrets.
	Message string
	// Fields are further members of the JSON body.
	Fields map[string]any
	// RetryAfter, when positive, is how long the client should wait.
	RetryAfter time.Duration
}

// New returns an error.
func New(status int, code, message string) *Error {
	return &Error{Status: status, Code: code, Message: message}
}

// Error returns the errcode and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// With returns a copy with one more member in its JSON body.
func (e *Error) With(name string, value any) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	if c.Fields == nil {
		c.Fields = map[string]any{}
	}
	c.Fields[name] = value
	return &c
}

// MarshalJSON returns the response body.
func (e *Error) MarshalJSON() ([]byte, error) {
	body := maps.Clone(e.Fields)
	if body == nil {
		body = map[string]any{}
	}
	if e.Code != "" {
		body["errcode"] = e.Code
	}
	if e.Message != "" {
		body["error"] = e.Message
	}
	if e.RetryAfter > 0 {
		body["retry_after_ms"] = (e.RetryAfter + time.Millisecond - 1).Milliseconds()
	}
	return json.Marshal(body)
}

// Is reports whether err is, or wraps, an *Error with the errcode code.
func Is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// Forbidden is 403 M_FORBIDDEN.
func Forbidden(message string) *Error { return New(http.StatusForbidden, CodeForbidden, message) }

// NotFound is 404 M_NOT_FOUND.
func NotFound(message string) *Error { return New(http.StatusNotFound, CodeNotFound, message) }

// BadJSON is 400 M_BAD_JSON: it is JSON, but not what belongs here.
func BadJSON(message string) *Error { return New(http.StatusBadRequest, CodeBadJSON, message) }

// NotJSON is 400 M_NOT_JSON.
func NotJSON(message string) *Error { return New(http.StatusBadRequest, CodeNotJSON, message) }

// InvalidParam is 400 M_INVALID_PARAM.
func InvalidParam(message string) *Error {
	return New(http.StatusBadRequest, CodeInvalidParam, message)
}

// MissingParam is 400 M_MISSING_PARAM for the parameter name.
func MissingParam(name string) *Error {
	return New(http.StatusBadRequest, CodeMissingParam, "parameter "+name+" is missing")
}

// TooLarge is 413 M_TOO_LARGE.
func TooLarge(message string) *Error {
	return New(http.StatusRequestEntityTooLarge, CodeTooLarge, message)
}

// BadRequest is 400 with a code that has no constructor of its own.
func BadRequest(code, message string) *Error { return New(http.StatusBadRequest, code, message) }

// Unrecognized is 404 M_UNRECOGNIZED: the server has no such endpoint.
func Unrecognized() *Error {
	return New(http.StatusNotFound, CodeUnrecognized, "unrecognized request")
}

// MissingToken is 401 M_MISSING_TOKEN.
func MissingToken() *Error {
	return New(http.StatusUnauthorized, CodeMissingToken, "missing access token")
}

// UnknownToken is 401 M_UNKNOWN_TOKEN. With softLogout the client keeps its
// keys and signs in again.
func UnknownToken(softLogout bool) *Error {
	e := New(http.StatusUnauthorized, CodeUnknownToken, "unrecognized access token")
	if softLogout {
		return e.With("soft_logout", true)
	}
	return e
}

// UserLocked is 401 M_USER_LOCKED: an administrator locked the account. The
// client keeps its keys, because the account may be unlocked.
func UserLocked() *Error {
	return New(http.StatusUnauthorized, CodeUserLocked, "this account is locked").With("soft_logout", true)
}

// UserSuspended is 403 M_USER_SUSPENDED: an administrator suspended the
// account, which may not do this meanwhile.
func UserSuspended(message string) *Error {
	return New(http.StatusForbidden, CodeUserSuspended, message)
}

// LimitExceeded is 429 M_LIMIT_EXCEEDED; trying again makes sense after wait.
func LimitExceeded(wait time.Duration) *Error {
	e := New(http.StatusTooManyRequests, CodeLimitExceeded, "too many requests")
	e.RetryAfter = max(wait, time.Millisecond)
	return e
}

// Unavailable is 503 M_UNKNOWN: nothing is known to be wrong with the request.
func Unavailable(message string) *Error {
	e := New(http.StatusServiceUnavailable, CodeUnknown, message)
	e.RetryAfter = time.Second
	return e
}
