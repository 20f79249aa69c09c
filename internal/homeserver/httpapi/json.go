// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// validator is a request that checks itself after decoding.
type validator interface{ Validate() error }

// Appender is a response that writes its own JSON, for answers that are
// mostly spliced from encoded events. AppendJSON appends one JSON value.
type Appender interface {
	AppendJSON(dst []byte) ([]byte, error)
}

// JSON makes a Handler of an endpoint function. The fields of Req say where
// they come from:
//
//	RoomID  event.RoomID    `path:"roomId"`
//	Limit   *int            `query:"limit"`            // pointer: nil when absent
//	Via     []string        `query:"via"`
//	Reason  string          `json:"reason"`
//	UserID  event.UserID    `json:"user_id" required:"true"`
//	Content json.RawMessage `body:"raw"`               // the whole body, an object
//
// Identifier types are checked. JSON keys are exact, an empty body counts as
// {} unless it is taken raw. If *Req has a method Validate() error, it is
// called next. A nil response is {}; a response that is an Appender writes
// itself. JSON panics when the tags of Req make no sense, at start.
func JSON[Req, Res any](f func(context.Context, Caller, *Req) (*Res, error)) Handler {
	p := makePlan(reflect.TypeFor[Req]())
	return func(w http.ResponseWriter, r *Request) error {
		req := new(Req)
		if err := p.read(w, r, reflect.ValueOf(req).Elem()); err != nil {
			return err
		}
		if v, ok := any(req).(validator); ok {
			if err := v.Validate(); err != nil {
				return err
			}
		}
		res, err := f(r.Context(), r.Caller, req)
		if err != nil {
			return err
		}
		if res == nil {
			return WriteJSON(w, http.StatusOK, Empty{})
		}
		return WriteJSON(w, http.StatusOK, res)
	}
}

// read fills in a request struct.
func (p *plan) read(w http.ResponseWriter, r *Request, into reflect.Value) error {
	if err := p.params(r, into); err != nil {
		return err
	}
	if !p.wantsBody() {
		return nil
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if len(body) == 0 && p.raw < 0 {
		body = []byte("{}")
	}
	if err := CheckJSON(body); err != nil {
		return err
	}
	if body = bytes.TrimSpace(body); body[0] != '{' {
		return matrixerr.BadJSON("body is no object")
	}
	if p.raw >= 0 {
		into.Field(p.raw).SetBytes(body)
	}
	if p.body == nil {
		return nil
	}
	return decodeStruct(body, into, "body")
}

// bodyTime is how long a client may take to send a JSON body.
const bodyTime = 30 * time.Second

// readBody reads a JSON body up to the route's limit. A form is refused
// unread: nothing of it is ever wanted.
func readBody(w http.ResponseWriter, r *Request) ([]byte, error) {
	if kind := strings.ToLower(r.Header.Get("Content-Type")); strings.HasPrefix(strings.TrimSpace(kind), "multipart/") {
		refuseBody(w)
		return nil, matrixerr.NotJSON("a form is not JSON")
	}
	limit := r.Route.maxBody()
	if r.ContentLength > limit {
		refuseBody(w)
		return nil, tooLarge(limit)
	}
	// Not every ResponseWriter has deadlines; those of tests need none.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(min(r.ContentLength+bytes.MinRead, 64<<10)))
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		refuseBody(w) // with the deadline still set, or net/http would wait for the rest
		return nil, bodyError(err, limit)
	}
	_ = control.SetReadDeadline(time.Time{}) // it would end the request, not just the body
	return buf.Bytes(), nil
}

// refuseBody makes net/http close the connection after the answer, because it
// would wait for the rest of the body first otherwise.
func refuseBody(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

func (r *Route) maxBody() int64 {
	if r.MaxBody > 0 {
		return r.MaxBody
	}
	return DefaultMaxBody
}

func tooLarge(limit int64) error {
	return matrixerr.TooLarge("body is larger than " + strconv.FormatInt(limit, 10) + " bytes")
}

func bodyError(err error, limit int64) error {
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return matrixerr.New(http.StatusRequestTimeout, matrixerr.CodeUnknown, "the body did not come in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return matrixerr.NotJSON("body ends too early")
	default:
		return fmt.Errorf("%w: %w", ErrClientGone, err)
	}
}

// ErrClientGone is of requests whose body could not be read, or whose answer
// could not be written: a matter of the client or the network between, which
// is counted and not logged as a failure.
var ErrClientGone = errors.New("client went away")

// writeTime is how long a client may take to receive an answer.
const writeTime = time.Minute

// buffers are reused for answers. Large ones are left to the collector.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

const maxPooled = 64 << 10

// WriteJSON writes v as the whole answer.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	pooled := buffers.Get().(*[]byte)
	body, err := appendJSON((*pooled)[:0], v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err = w.Write(body)
	if cap(body) <= maxPooled {
		*pooled = body
		buffers.Put(pooled)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClientGone, err)
	}
	return nil
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	if a, ok := v.(Appender); ok {
		return a.AppendJSON(dst)
	}
	buf := bytes.NewBuffer(dst)
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
